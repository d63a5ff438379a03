"""Draws of stochastic layers, fitted to given data."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

STARTS, ITERATIONS = 3, 300

EXACT = 1e-12
"""Relative objective at which draws explain an upload exactly, in double precision."""


STALLED = 1e-16
"""Decrease of the relative objective, or change of the draws, at which a search ends."""


def fitted(objective: Callable[[Tensor], Tensor], like: Tensor) -> Tensor:
    """Return the draws of the lowest objective that L-BFGS finds from a few starts.

    The first start is the mean of the draws, the others are draws; the first exact fit is returned.

    Args:
        objective: function of the draws ``(n,)``.
        like: a tensor of their shape, type and device.
    """
    best, lowest = torch.zeros_like(like), float("inf")
    with torch.no_grad():
        unit = float(objective(best))
    generator = torch.Generator().manual_seed(0)
    for number in range(STARTS):
        start = torch.randn(like.shape, generator=generator, dtype=like.dtype).to(like.device)
        found = _minimum(objective, start if number else best, unit)
        with torch.no_grad():
            value = float(objective(found))
        if value < lowest:
            best, lowest = found, value
        if lowest <= EXACT * unit:
            break
    return best


def _minimum(objective: Callable[[Tensor], Tensor], start: Tensor, unit: float) -> Tensor:
    """Return the minimum of an objective by L-BFGS.

    Args:
        objective: function of a point ``(n,)``.
        start: the first point ``(n,)``.
        unit: typical size of the objective.
    """
    point = start.clone().requires_grad_()
    optimiser = torch.optim.LBFGS(
        [point],
        max_iter=ITERATIONS,
        history_size=50,
        tolerance_grad=0,
        tolerance_change=STALLED,
        line_search_fn="strong_wolfe",
    )

    def closure() -> Tensor:
        optimiser.zero_grad()
        cost = objective(point) / max(unit, torch.finfo(point.dtype).tiny)
        torch.autograd.backward(cost, inputs=[point])
        return cost

    with torch.enable_grad():
        optimiser.step(closure)  # type: ignore[no-untyped-call]
    return point.detach()
