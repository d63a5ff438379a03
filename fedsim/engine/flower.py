"""Flower's logging, and its private or deprecated functions.

This is the only module that uses such functions of Flower; `pyproject.toml` has the range of tested
versions.
"""

import contextlib
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from flwr.app import Context, Message
from flwr.serverapp import Grid


@contextlib.contextmanager
def logs_to(path: Path) -> Iterator[None]:
    """Redirect the log messages of Flower and Ray from the terminal to a file.

    They are in the terminal too where the root logger shows messages of this kind.
    """
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    saved = []
    for name in ("flwr", "ray"):
        logger = logging.getLogger(name)
        saved.append((logger, logger.handlers[:], logger.propagate))
        logger.handlers[:] = [handler]
        logger.propagate = logging.getLogger().getEffectiveLevel() <= logging.INFO
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"(flwr|ray|click|typer)(\.|$)")
            yield
    finally:
        for logger, handlers, propagate in saved:
            logger.handlers[:] = handlers
            logger.propagate = propagate
        handler.close()


def identify_task() -> None:
    """Give this process the identity that Flower needs to create messages."""
    from flwr.supercore.task_identity import TaskIdentity  # noqa: PLC0415

    TaskIdentity.task_id = TaskIdentity.run_id = TaskIdentity.node_id = 1


def registered_nodes(grid: Grid) -> list[int]:
    """Return the nodes of a simulation's grid in the order of their partitions; none if unknown."""
    state = getattr(grid, "state", None)
    return [] if state is None else [node.node_id for node in state.get_node_info()]


@contextlib.contextmanager
def dead_workers_replaced() -> Iterator[None]:
    """Let Flower's simulation on Ray start a worker in place of each that died.

    Otherwise Flower puts the dead one back among the others, and each client that is given to it
    fails. The client that it died with fails.
    """
    import ray  # noqa: PLC0415  (takes seconds)
    from flwr.simulation.ray_transport.ray_actor import BasicActorPool  # noqa: PLC0415
    from ray.exceptions import RayActorError  # noqa: PLC0415

    fetch = BasicActorPool.fetch_result_and_return_actor_to_pool

    def fetched(pool: BasicActorPool, future: Any) -> tuple[Message, Context]:
        try:
            return fetch(pool, future)
        except RayActorError:
            if ray.is_initialized():  # otherwise this would start another Ray
                # What Flower now puts back is the worker that it finds here.
                another = pool.create_actor_fn()  # type: ignore[no-untyped-call]
                pool._future_to_actor[future] = another
            raise

    place = "fetch_result_and_return_actor_to_pool"
    setattr(BasicActorPool, place, fetched)
    try:
        yield
    finally:
        setattr(BasicActorPool, place, fetch)
