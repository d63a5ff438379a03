"""Ray engine: Flower's simulation on Ray, on one machine or on a Ray cluster."""

import os
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Any, cast

from flwr.app import Context, Message
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from flwr.simulation import run_simulation

from fedsim.core.errors import RunError
from fedsim.engine.flower import registered_nodes
from fedsim.engine.workers import ray_workers
from fedsim.server.grids import DelegateGrid

RESOURCES: dict[str, Any] = {
    "num_cpus": 1,
    "num_gpus": 0.0,
    # By default, a worker that died would stay among Flower's workers and fail each client that is
    # given to it, and clients that are given to one that is starting again would fail.
    "max_restarts": -1,
    "max_task_retries": 1,
}
"""What Flower hands to Ray for each worker."""
LAST_WORDS_S = 1.0
"""Seconds that a worker has to send the error of a client that hangs, before it ends."""


class SimulatedGrid(DelegateGrid):
    """The grid of Flower's simulation, which numbers its nodes in the order of registration."""

    def partitions(self) -> Mapping[int, int]:
        """Return the partition of each node, by node id."""
        return {node: partition for partition, node in enumerate(registered_nodes(self.grid))}


def limited(client_app: ClientApp, limit_s: float) -> ClientApp:
    """Return a client app that gives up a client, and its worker with it, after a time limit.

    Nothing less than the end of its process ends code that does not return. Ray starts another.

    Args:
        client_app: the ClientApp.
        limit_s: time limit of a message, in seconds.
    """

    def app(message: Message, context: Context) -> Message:
        reply: Future[Message] = Future()

        def answer() -> None:
            try:
                reply.set_result(client_app(message, context))
            except BaseException as error:  # passed on to the thread that waits
                reply.set_exception(error)

        threading.Thread(target=answer, daemon=True).start()
        try:
            return reply.result(limit_s)
        except FutureTimeout:
            if not reply.done():
                threading.Timer(LAST_WORDS_S, os._exit, (1,)).start()
            raise

    return cast(ClientApp, app)  # Flower calls it, and does nothing else with it


def run_ray(
    server: Callable[[Grid], None],
    client_app: ClientApp,
    clients: int,
    timeout_s: float = threading.TIMEOUT_MAX,
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

    with ray_workers():
        run_simulation(
            server_app=app,
            client_app=limited(client_app, min(timeout_s, threading.TIMEOUT_MAX)),
            num_supernodes=clients,
            backend_config={"client_resources": RESOURCES},
        )
    if not ended:
        raise RunError(
            "Flower's simulation ended before the last round; see flower.log in the run folder"
        )
