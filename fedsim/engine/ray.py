"""Ray engine: Flower's simulation on Ray, on one machine or on a Ray cluster."""

import os
from collections.abc import Callable

from flwr.app import ConfigRecordValues, Context
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from flwr.simulation import run_simulation

from fedsim.core.environment import ADDRESS_VARIABLE
from fedsim.core.errors import RunError
from fedsim.core.signals import ended_as_interrupts


def run_ray(server: Callable[[Grid], None], client_app: ClientApp, clients: int) -> None:
    """Run a server function against clients on Ray's workers, one CPU each.

    Ray starts on this machine, unless the environment variable ``RAY_ADDRESS`` names a
    cluster, where fedsim must be installed on every node.

    Args:
        server: function of the ServerApp, called with its grid in a thread of this process.
        client_app: the ClientApp of each client.
        clients: number of clients.

    Raises:
        RunError: Flower ended the simulation before the server function had finished.
        KeyboardInterrupt: the process was asked to end.
    """
    ended = False
    app = ServerApp()

    @app.main()
    def main(grid: Grid, context: Context) -> None:
        nonlocal ended
        server(grid)
        ended = True

    # Ray's own prints would disturb the live view; its log messages go to the run folder.
    init_args: dict[str, ConfigRecordValues] = {"logging_level": "error", "log_to_driver": False}
    if address := os.environ.get(ADDRESS_VARIABLE):
        init_args["address"] = address
    with ended_as_interrupts():
        run_simulation(
            server_app=app,
            client_app=client_app,
            num_supernodes=clients,
            backend_config={
                "client_resources": {"num_cpus": 1, "num_gpus": 0.0},
                "init_args": init_args,
            },
        )
    if not ended:
        raise RunError(
            "Flower's simulation ended before the last round; see flower.log in the run folder"
        )
