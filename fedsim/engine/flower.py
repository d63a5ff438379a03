"""Flower kept quiet: its environment, its logs, and what of it is private or deprecated.

This is the only module that touches such parts of Flower; `pyproject.toml` names the range
of versions that the tests have seen.
"""

import contextlib
import logging
import os
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

ENVIRONMENT = {
    "FLWR_TELEMETRY_ENABLED": "0",
    "FLWR_DISABLE_UPDATE_CHECK": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    # Silences a warning of Ray; clients that ask for no GPU must not hide it from the server.
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    # Ray starts its workers at low priority, where any other job starves them.
    "RAY_worker_niceness": "0",
}


def prepare_environment() -> None:
    """Switch telemetry and update checks off; to be called before Flower is imported."""
    for key, value in ENVIRONMENT.items():
        os.environ.setdefault(key, value)
    # Flower notes an anonymous id in its home even with telemetry off: not in the user's.
    if "FLWR_HOME" not in os.environ:
        os.environ["FLWR_HOME"] = str(Path(tempfile.gettempdir()) / f"fedsim-flwr-{os.getuid()}")


@contextlib.contextmanager
def logs_to(path: Path) -> Iterator[None]:
    """Send what Flower and Ray log to a file, and nothing of it to the terminal."""
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    saved = []
    for name in ("flwr", "ray"):
        logger = logging.getLogger(name)
        saved.append((logger, logger.handlers[:], logger.propagate))
        logger.handlers[:] = [handler]
        logger.propagate = False
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
    """Give this process the identity without which Flower makes no messages."""
    from flwr.supercore.task_identity import TaskIdentity  # noqa: PLC0415

    TaskIdentity.task_id = TaskIdentity.run_id = TaskIdentity.node_id = 1
