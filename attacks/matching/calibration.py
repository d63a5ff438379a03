"""Tests of whether a residual is what a modelled uncertainty predicts.

They are two-sided: a residual that is too small for the modelled noise shows wrong equations as
much as one that is too large.
"""

from __future__ import annotations

import torch
from torch import Tensor

LEAST = 1e-7
"""Least probability of a residual under the right equations. A run has thousands of victims with
dozens of tensors, and not one of them should be rejected by chance."""

SLACK = 0.05
"""Relative error of a modelled variance that is accepted."""

FEWEST = 30
"""Least number of coordinates of a tensor that is tested on its own."""


def plausible_sum(total: float, shape: float) -> bool:
    """Return whether a sum can be a gamma variate of unit scale.

    Args:
        total: half the sum of squares of standard normal variates, or the sum of the magnitudes of
            standard Laplacian ones.
        shape: half the number of variates, or their number.
    """
    if shape <= 0:
        return total == 0
    size = torch.tensor(shape, dtype=torch.float64)
    low, high = (torch.tensor(total * f, dtype=torch.float64) for f in (1 + SLACK, 1 - SLACK))
    below = torch.special.gammainc(size, low)
    above = torch.special.gammaincc(size, high)
    return bool(torch.minimum(below, above) > LEAST)


def plausible_draws(draws: Tensor) -> bool:
    """Return whether fitted draws can be standard normal ones.

    Only draws that are too large show wrong equations: where several fit, those found are small.

    Args:
        draws: of any shape.
    """
    half = torch.tensor(draws.numel() / 2, dtype=torch.float64)
    total = draws.double().square().sum().cpu() / 2 * (1 - SLACK)
    return bool(torch.special.gammaincc(half, total) > LEAST)


def plausible_projection(residual: Tensor, signal: Tensor) -> bool:
    """Return whether noise of unit variance can have this projection on a signal.

    A gradient of the wrong size or direction leaves a part of itself in the residual.

    Args:
        residual: ``(n,)`` in units of the noise's standard deviation.
        signal: ``(n,)`` in the same unit: what the noise was added to.
    """
    length = signal.norm()
    if length == 0:
        return True
    deviations = (residual @ signal / length).abs() / 2**0.5
    return bool(torch.special.erfc(deviations) > LEAST)


def plausible_variance(squares: Tensor, variances: Tensor, fourth: Tensor) -> bool:
    """Return whether a sum of squares is what its terms' variances predict.

    Args:
        squares: ``(n,)`` squared residuals of mean zero.
        variances: ``(n,)``, predicted.
        fourth: ``(n,)``, their predicted fourth moments.
    """
    expected = variances.sum()
    spread = (fourth - variances**2).clamp(min=0).sum().sqrt()
    return bool((squares.sum() - expected).abs() <= SLACK * expected + 6 * spread)
