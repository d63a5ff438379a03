"""Environment variables that libraries read when they are imported.

Loads nothing itself, so that it can be called before them.
"""

import os
import tempfile
from pathlib import Path

VARIABLES = {
    "FLWR_TELEMETRY_ENABLED": "0",
    "FLWR_DISABLE_UPDATE_CHECK": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    # Silences a warning of Ray; clients that ask for no GPU must not hide it from the server.
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    # Ray starts its workers at low priority, where any other job starves them.
    "RAY_worker_niceness": "0",
    # How long idle OpenMP threads spin before they sleep. With the default, an attack took ten
    # times as long beside one other busy process on two cores; with this, twice as long, and a
    # tenth longer when it has the machine to itself.
    "GOMP_SPINCOUNT": "2000",
}


def prepare() -> None:
    """Switch telemetry and update checks off and tame threads; to be called at the start.

    What the user has set stays as it is.
    """
    for key, value in VARIABLES.items():
        os.environ.setdefault(key, value)
    # Flower notes an anonymous id in its home even with telemetry off: not in the user's.
    if "FLWR_HOME" not in os.environ:
        user = os.getuid() if hasattr(os, "getuid") else os.environ.get("USERNAME", "user")
        os.environ["FLWR_HOME"] = str(Path(tempfile.gettempdir()) / f"fedsim-flwr-{user}")
