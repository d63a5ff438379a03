"""Ray engine: Flower's simulation on Ray, on one machine or on a Ray cluster."""

from collections.abc import Callable, Mapping

from flwr.app import Context
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from flwr.simulation import run_simulation

from fedsim.core.errors import RunError
from fedsim.engine.flower import registered_nodes
from fedsim.engine.workers import ray_workers
from fedsim.server.grids import DelegateGrid


class SimulatedGrid(DelegateGrid):
    """The grid of Flower's simulation, which numbers its nodes in the order of registration."""

    def partitions(self) -> Mapping[int, int]:
        """Return the partition of each node, by node id."""
        return {node: partition for partition, node in enumerate(registered_nodes(self.grid))}


def run_ray(server: Callable[[Grid], None], client_app: ClientApp, clients: int) -> None:
    """Run a server function against clients on Ray's workers, one CPU each.

    Ray starts on this machine, unless the environment variable ``RAY_ADDRESS`` names a
    cluster, where fedsim must be installed on every node.

    Args:
        server: function of the ServerApp, called with its grid in a thread of this process.
        client_app: the ClientApp of each client.
        clients: number of clients.

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

    with ray_workers():
        run_simulation(
            server_app=app,
            client_app=client_app,
            num_supernodes=clients,
            backend_config={"client_resources": {"num_cpus": 1, "num_gpus": 0.0}},
        )
    if not ended:
        raise RunError(
            "Flower's simulation ended before the last round; see flower.log in the run folder"
        )
