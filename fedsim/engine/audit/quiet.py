"""Context in which an audit cannot affect the audited training."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch

from fedsim.core.precision import full_float32


@contextmanager
def harmless(on_problem: Callable[[str], None]) -> Iterator[None]:
    """Context after which the global random states are as before, and whose errors are reported.

    Args:
        on_problem: called with the reason of an error, which is not raised.

    Raises:
        KeyboardInterrupt: the user stopped the training.
    """
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    devices = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    try:
        with full_float32():
            yield
    except Exception as error:
        on_problem(f"{type(error).__name__}: {error}")
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])  # noqa: NPY002
        torch.set_rng_state(states[2])
        if devices:
            torch.cuda.set_rng_state_all(devices)
