"""What all tests share: the environment in which fedsim itself runs."""

import os

import pytest
from hypothesis import HealthCheck, settings
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

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


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadFileScheduling:
    """Give a file to one worker, so that a run that its tests share is made once."""
    return LoadFileScheduling(config, log)
