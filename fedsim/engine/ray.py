"""Ray engine: Flower's simulation on Ray, on one machine or on a Ray cluster."""

import faulthandler
from collections.abc import Callable, Mapping
from typing import cast

from flwr.app import Context, Message
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from flwr.simulation import run_simulation

from fedsim.core.errors import RunError
from fedsim.engine.flower import dead_workers_replaced, registered_nodes
from fedsim.engine.workers import ray_workers
from fedsim.server.grids import DelegateGrid

_LONGEST_S = 1e6


class SimulatedGrid(DelegateGrid):
    """The grid of Flower's simulation, which numbers its nodes in the order of registration."""

    def partitions(self) -> Mapping[int, int]:
        """Return the partition of each node, by node id."""
        return {node: partition for partition, node in enumerate(registered_nodes(self.grid))}


def limited(client_app: ClientApp, limit_s: float) -> ClientApp:
    """Return a client app that ends its process if a message takes too long.

    Nothing less ends code that does not return, which would hold its worker for good.

    Args:
        client_app: the ClientApp.
        limit_s: time limit of a message, in seconds.
    """

    def app(message: Message, context: Context) -> Message:
        faulthandler.dump_traceback_later(limit_s, exit=True)
        try:
            return client_app(message, context)
        finally:
            faulthandler.cancel_dump_traceback_later()

    return cast(ClientApp, app)  # Flower calls it, and does nothing else with it


def run_ray(
    server: Callable[[Grid], None],
    client_app: ClientApp,
    clients: int,
    timeout_s: float = _LONGEST_S,
) -> None:
    """Run a server function against clients on Ray's workers, one CPU each.

    Ray starts on this machine, unless the environment variable ``RAY_ADDRESS`` names a
    cluster, where fedsim must be installed on every node.

    Args:
        server: function of the ServerApp, called with its grid in a thread of this process.
        client_app: the ClientApp of each client.
        clients: number of clients.
        timeout_s: maximum time of a client for a message; its worker is replaced then.

    Raises:
        RunError: Flower ended the simulation before the server function had finished, or there is
            no cluster at the address.
        KeyboardInterrupt: the process was asked to end.
    """
    ended = False
    app = ServerApp()

    @app.main()
    def main(grid: Grid, context: Context) -> None:
        nonlocal ended
        server(SimulatedGrid(grid))
        ended = True

    with ray_workers(), dead_workers_replaced():
        run_simulation(
            server_app=app,
            client_app=limited(client_app, min(timeout_s, _LONGEST_S)),
            num_supernodes=clients,
            backend_config={"client_resources": {"num_cpus": 1, "num_gpus": 0.0}},
        )
    if not ended:
        raise RunError(
            "Flower's simulation ended before the last round; see flower.log in the run folder"
        )
