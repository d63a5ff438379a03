"""What all tests share: the environment in which fedsim itself runs."""

import os

from hypothesis import HealthCheck, settings

from fedsim.core.environment import prepare

prepare()
# How long an example takes says how busy the machine is.
settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any machine")

if "PYTEST_XDIST_WORKER" in os.environ:
    # The workers have the cores between them; torch reads this when it is loaded.
    os.environ["OMP_NUM_THREADS"] = "1"
