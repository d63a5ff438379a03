"""Environment variables that libraries read when they are imported.

This module imports none of these libraries, so that it can run before them.
"""

import os
import tempfile
from pathlib import Path

VARIABLES = {
    "FLWR_TELEMETRY_ENABLED": "0",
    "FLWR_DISABLE_UPDATE_CHECK": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "WANDB_ERROR_REPORTING": "false",
    # Silences a warning of Ray; clients without a GPU must not hide the GPU from the server.
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    # Ray starts its workers at low priority, where any other job starves them.
    "RAY_worker_niceness": "0",
    # Spinning time of idle OpenMP threads before they sleep. With the default, an attack took ten
    # times as long beside one other busy process on two cores; with this value, twice as long, and
    # a tenth longer on an idle machine.
    "GOMP_SPINCOUNT": "2000",
}


ADDRESS_VARIABLE = "RAY_ADDRESS"
"""Names a Ray cluster; without it, Ray starts on this machine."""

ONE_MACHINE = {
    # Ray then listens on the loopback interface alone, on every system; by default, on all
    # interfaces, where any who reach its ports could run code.
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
}
"""Variables that are set unless a Ray cluster of several machines is named."""
LOOPBACK = ("127.", "localhost", "[::1]")


def prepare() -> None:
    """Switch off telemetry, update checks and outside ports, and limit spinning threads.

    It is called at the start.

    Variables that the user has set do not change.
    """
    for key, value in VARIABLES.items():
        os.environ.setdefault(key, value)
    if (os.environ.get(ADDRESS_VARIABLE) or LOOPBACK[0]).startswith(LOOPBACK):
        for key, value in ONE_MACHINE.items():
            os.environ.setdefault(key, value)
    # Flower stores an anonymous id in its home even with telemetry off: not in the user's home.
    if "FLWR_HOME" not in os.environ:
        user = os.getuid() if hasattr(os, "getuid") else os.environ.get("USERNAME", "user")
        os.environ["FLWR_HOME"] = str(Path(tempfile.gettempdir()) / f"fedsim-flwr-{user}")


def use_cluster(address: str) -> None:
    """Use a Ray cluster instead of Ray on this machine; called before Ray is imported.

    Args:
        address: ``host:port`` of its head.
    """
    for key, value in ONE_MACHINE.items():
        if os.environ.get(key) == value:
            del os.environ[key]
    os.environ[ADDRESS_VARIABLE] = address
    prepare()
