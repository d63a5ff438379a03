"""The device of a computation, and the precision of float32 arithmetic on it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch

_lock = threading.Lock()
_inside = 0
_before: list[object] = []


def best_device() -> torch.device:
    """Return the GPU if there is one, otherwise the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


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
