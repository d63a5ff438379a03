"""What all tests share: the environment in which fedsim itself runs."""

import os

from fedsim.core.environment import prepare

prepare()

if "PYTEST_XDIST_WORKER" in os.environ:
    # The workers have the cores between them; torch reads this when it is loaded.
    os.environ["OMP_NUM_THREADS"] = "1"
