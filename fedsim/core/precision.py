"""The device of a computation, and the precision of float32 arithmetic on it."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from fedsim.core.errors import RunError

_lock = threading.Lock()
_inside = 0
_before: list[object] = []


DEVICE_VARIABLE = "FEDSIM_DEVICE"
"""Environment variable with the device to use, which workers inherit."""


def use_device(name: str) -> None:
    """Choose the device of this process and of those that it starts.

    Args:
        name: as PyTorch has it, such as ``cpu`` or ``cuda:1``.

    Raises:
        RunError: there is no such device here.
    """
    _usable(name)
    os.environ[DEVICE_VARIABLE] = name


def best_device() -> torch.device:
    """Return the chosen device; by default the GPU if there is one, otherwise the CPU.

    Raises:
        RunError: the chosen device is not here.
    """
    chosen = os.environ.get(DEVICE_VARIABLE)
    if chosen:
        return _usable(chosen)
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def _usable(name: str) -> torch.device:
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).strip().split("\n")[0]
        raise RunError(
            f"device {name!r} cannot be used here ({reason}); expected cpu"
            + "".join(f", cuda:{i}" for i in range(torch.cuda.device_count()))
        ) from None
    if device.type == "meta":
        raise RunError("device 'meta' has no values; expected cpu, or a GPU such as cuda:0")
    return device


@contextmanager
def full_float32() -> Iterator[None]:
    """Context in which products and convolutions of float32 are computed in float32.

    cuDNN's convolutions round their inputs to TensorFloat-32 by default, that is to 10 bits: a
    gradient is then known to about 1e-3, and there gradient matching ends. The setting is the
    process's: it is as before once every thread has left the context. A CPU is not concerned.
    """
    global _inside  # noqa: PLW0603 - as the setting itself
    with _lock:
        if not _inside:
            _before[:] = [getattr(place, name) for place, name, _ in _settings()]
            for place, name, exact in _settings():
                setattr(place, name, exact)
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if not _inside:
                for (place, name, _), value in zip(_settings(), _before, strict=True):
                    setattr(place, name, value)


def _settings() -> list[tuple[object, str, object]]:
    """Return each setting as its place, its name and its value for full precision."""
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    if hasattr(cudnn, "conv"):  # from PyTorch 2.9 on, which warns of the older names
        return [(cudnn.conv, "fp32_precision", "ieee"), (matmul, "fp32_precision", "ieee")]
    return [(cudnn, "allow_tf32", False), (matmul, "allow_tf32", False)]
