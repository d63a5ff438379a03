"""Watch of PyTorch's clipping of gradients by their norm."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch.nn.utils import clip_grad

L2 = 2.0

_NORM, _CLIP = "_get_total_norm", "_clip_grads_with_norm_"
"""Functions of PyTorch's module, since 2.6, that ``clip_grad_norm_`` calls however an app has
imported it."""


@contextmanager
def clipping(on_clip: Callable[[float, float], None]) -> Iterator[None]:
    """Context in which the clipping of gradients by ``clip_grad_norm_`` is noted.

    PyTorch before 2.6 does not have the functions that are watched, and nothing is noted.

    Args:
        on_clip: called with the largest norm and its kind, 2 for L2.
    """
    module: Any = clip_grad
    norm, clip = getattr(module, _NORM, None), getattr(module, _CLIP, None)
    if norm is None or clip is None:
        yield
        return
    kinds = [L2]

    def normed(tensors: Any, norm_type: float = L2, *given: Any, **named: Any) -> Any:
        kinds[:] = [float(norm_type)]
        return norm(tensors, norm_type, *given, **named)

    def clipped(parameters: Any, max_norm: float, *given: Any, **named: Any) -> Any:
        on_clip(float(max_norm), kinds[0])
        return clip(parameters, max_norm, *given, **named)

    setattr(module, _NORM, normed)
    setattr(module, _CLIP, clipped)
    try:
        yield
    finally:
        setattr(module, _NORM, norm)
        setattr(module, _CLIP, clip)
