"""Where the benchmarks run, and how long something takes there."""

import copy
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

import torch
from torch import nn

from fedsim.attacks import Observation
from tests.victims import Victims

T = TypeVar("T")

DEVICES = ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",)


def placed(victims: Victims, device: str) -> tuple[nn.Module, list[Observation]]:
    """Return the model and what is observed of the victims, both on a device.

    The gradients are computed where the pictures lie, before anything moves, so that they are
    the same on all devices.
    """
    observations = [
        replace(seen, gradient={k: g.to(device) for k, g in seen.gradient.items()})
        for seen in victims.observations()
    ]
    return copy.deepcopy(victims.model).to(device), observations


def timed(work: Callable[[], T], device: str) -> tuple[float, T]:
    """Return the seconds that a piece of work took, and its result."""
    synchronise(device)
    began = time.perf_counter()
    result = work()
    synchronise(device)
    return time.perf_counter() - began, result


def synchronise(device: str) -> None:
    """Wait for what a GPU still has to do."""
    if device == "cuda":
        torch.cuda.synchronize()
