"""PyTorch's global random state, for code that draws from nowhere else.

Dropout, the initialisation of layers and code of third parties take random numbers from one state
for the whole process. The adversary's threads and a client in training would take turns at it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch

_lock = threading.RLock()


@contextmanager
def global_randomness(seed: int | None = None) -> Iterator[None]:
    """Context whose draws come from a seed and leave the global state as it was.

    One thread at a time is inside; the others wait.

    Args:
        seed: of the draws; None to go on from the present state.
    """
    with _lock, torch.random.fork_rng(devices=[]):
        if seed is not None:
            torch.default_generator.manual_seed(seed)
        yield
