"""Alignment of reconstructions with their originals, as an eye aligns them.

A person recognises a picture that is shifted by a few pixels, mirrored, inverted, pale or dark.
Metrics that compare pixel with pixel do not. Here a reconstruction is moved, mirrored and fitted to
its original by one factor and one offset for each channel, with the least squared error. Each
baseline has the same search, so that only what the search gains for the reconstruction counts.

The fit shrinks noise: its factor is the share of the reconstruction's variance that is the
original's.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

REACH = 3
"""Largest shift in pixels."""

SIDE_PER_REACH = 8
"""Least side in pixels for each pixel of a shift: 2 pixels of a 16-pixel picture."""

_FLAT = 1e-10
"""Variance below which a channel is plain up to rounding."""


@dataclass(frozen=True)
class Aligned:
    """N aligned reconstructions and what they are compared with.

    Attributes:
        fitted: ``(N, C, h, w)`` float64, the reconstructions aligned with ``truths``.
        truths: ``(N, C, h, w)`` float64, the originals without a border of the largest shift.
        explained: ``(N,)`` share of the originals' variance that ``fitted`` explains; 0 for a plain
            original.
    """

    fitted: Tensor
    truths: Tensor
    explained: Tensor


def reach(side: int) -> int:
    """Return the largest shift in pixels for pictures with this shorter side."""
    return min(REACH, side // SIDE_PER_REACH)


def align(guesses: Tensor, originals: Tensor) -> Aligned:
    """Align each guess with the original of the same index.

    Args:
        guesses: ``(N, C, H, W)`` float64 in [0, 1].
        originals: ``(N, C, H, W)`` float64 in [0, 1].
    """
    truths, centred = _inside(originals)
    height, width = truths.shape[-2:]
    both = torch.stack([guesses, guesses.flip(3)])
    slope, gain = _fits(both, centred)
    best = gain.flatten(1).argmax(1)
    mirrored, at = best // gain.shape[2], best % gain.shape[2]
    across = originals.shape[-1] - width + 1
    each = torch.arange(len(guesses))
    views = both.unfold(3, height, 1).unfold(4, width, 1)
    moved = views[mirrored, each, :, at // across, at % across]
    fitted = slope[each, mirrored, at][..., None, None] * _centred(moved)
    fitted = fitted + truths.mean((2, 3), keepdim=True)
    return Aligned(fitted, truths, _share(gain, centred))


def explained(guesses: Tensor, originals: Tensor) -> Tensor:
    """Return the share of the variance that `align` explains, (N,).

    Args:
        guesses: as for `align`, or one guess for all originals.
        originals: as for `align`, or one original for all guesses.
    """
    _, centred = _inside(originals)
    return _share(_fits(torch.stack([guesses, guesses.flip(3)]), centred)[1], centred)


def _inside(originals: Tensor) -> tuple[Tensor, Tensor]:
    """Return the originals without a border, and the same with mean 0 in each channel."""
    far = reach(min(originals.shape[-2:]))
    truths = originals[..., far : originals.shape[2] - far, far : originals.shape[3] - far]
    return truths, _centred(truths)


def _centred(pictures: Tensor) -> Tensor:
    return pictures - pictures.mean((2, 3), keepdim=True)


def _share(gain: Tensor, centred: Tensor) -> Tensor:
    power = centred.square().mean((2, 3)).sum(1)
    share = gain.flatten(1).amax(1) / power.clamp_min(_FLAT)
    return torch.where(power > _FLAT, share.clamp(0, 1), 0.0)


def _fits(both: Tensor, centred: Tensor) -> tuple[Tensor, Tensor]:
    """Return the factor of each shift and channel, and the variance that each shift explains.

    Args:
        both: ``(2, N, C, H, W)``, the guesses and their mirror images.
        centred: ``(N, C, h, w)``, the originals with mean 0 in each channel; N may be 1 in either.

    Returns:
        ``(N, 2, shifts, C)`` and ``(N, 2, shifts)``.
    """
    height, width = centred.shape[2:]
    covariance = _correlated(both, centred) / (height * width)
    mean = _means(both, height, width)
    variance = _means(both.square(), height, width) - mean.square()
    slope = torch.where(variance > _FLAT, covariance / variance.clamp_min(_FLAT), 0.0)
    gain = (slope.square() * variance).sum(2)
    return slope.permute(1, 0, 3, 2), gain.permute(1, 0, 2)


def _correlated(both: Tensor, kernel: Tensor) -> Tensor:
    """Return the correlations at all shifts at which the kernel is inside, (2, N, C, shifts)."""
    size = (both.shape[-2], both.shape[-1])
    product = torch.fft.rfft2(both) * torch.fft.rfft2(kernel, s=size).conj()
    inside = (size[0] - kernel.shape[-2] + 1, size[1] - kernel.shape[-1] + 1)
    correlated: Tensor = torch.fft.irfft2(product, s=size)
    return correlated[..., : inside[0], : inside[1]].flatten(3)


def _means(both: Tensor, height: int, width: int) -> Tensor:
    """Return the means of all windows of a size, (2, N, C, shifts)."""
    sums = torch.nn.functional.pad(both.cumsum(-2).cumsum(-1), (1, 0, 1, 0))
    rows = sums[..., height:, :] - sums[..., :-height, :]
    return ((rows[..., width:] - rows[..., :-width]) / (height * width)).flatten(3)
