"""Least squares for many victims at once: Gauss-Newton steps by conjugate gradients."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from fedsim.attacks.closed.rgap.equations import Residuals, each_like, ratio

STEPS = 10
"""Gauss-Newton steps at most."""
ITERATIONS = 500
"""Iterations of conjugate gradients in a step at most."""
FORCING = 0.1
"""Relative residual up to which a step of many is computed."""
EXACT = 1e-7
"""Relative residual up to which linear equations are solved, for which one step is enough."""
DAMPING = 1e-6
"""Damping of the first step, relative to the curvature along the gradient."""
LEFT = 0.5
"""Share of a victim's squares that a step leaves if it is the last one: what is left is noise."""
SAME = 1e-3
"""Relative increase of a victim's squares that a step at their floor may have."""


def solved(residuals: Residuals, like: Tensor) -> Tensor:
    """Return the unknowns of the least squares of each victim, ``(V, ...)``, finite.

    Levenberg and Marquardt's damping is lowered after a step that is better, and raised after one
    that is not, for each victim by itself. All begin in the middle of the range of data.

    Args:
        residuals: the equations.
        like: a tensor of the type and on the device of the result.
    """
    x = like.new_full(residuals.shape, 0.5)
    left = residuals.at(x)
    size, damping = _dot(left, left), None
    done = torch.zeros_like(size, dtype=torch.bool)
    forcing = EXACT if residuals.linear else FORCING
    for _ in range(1 if residuals.linear else STEPS):
        downhill = -residuals.pull(left)
        if damping is None:
            along = residuals.push(downhill)
            damping = DAMPING * ratio(_dot(along, along), _dot((downhill,), (downhill,)))
            damping = 0 * damping if residuals.linear else damping
        step = _conjugate_gradients(residuals, downhill, damping, forcing, done)
        left = residuals.at(x + step)
        new = _dot(left, left)
        better = new < size
        done |= (new >= LEFT * size) & (new <= size * (1 + SAME))
        x = torch.where(each_like(better, x), x + step, x)
        damping = torch.where(better, damping / 10, damping * 10)
        size = torch.where(better, new, size)
        if bool(done.all()):
            break
        if not bool(better.all()):
            left = residuals.at(x)
    return torch.nan_to_num(x, nan=0.5, posinf=1.0, neginf=0.0)


def _conjugate_gradients(
    residuals: Residuals, right: Tensor, damping: Tensor, forcing: float, done: Tensor
) -> Tensor:
    """Solve the normal equations of a step; a victim that has converged no longer changes."""
    x, rest, direction = torch.zeros_like(right), right, right
    size = first = _dot((rest,), (rest,))
    for _ in range(ITERATIONS):
        running = (size > forcing**2 * first) & ~done
        if not bool(running.any()):
            break
        along = residuals.pull(residuals.push(direction)) + each_like(damping, x) * direction
        length = torch.where(running, ratio(size, _dot((direction,), (along,))), 0.0)
        x, rest = x + each_like(length, x) * direction, rest - each_like(length, x) * along
        new = _dot((rest,), (rest,))
        turn = torch.where(running, ratio(new, size), 0.0)
        direction = rest + each_like(turn, x) * direction
        size = torch.where(running, new, size)
    return x


def _dot(one: Sequence[Tensor], other: Sequence[Tensor]) -> Tensor:
    """Return the inner products of each victim's tensors, ``(V,)``."""
    return torch.stack([(a * b).flatten(1).sum(1) for a, b in zip(one, other, strict=True)]).sum(0)
