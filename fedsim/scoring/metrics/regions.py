"""Regions of a reconstruction that are exact, whatever the rest shows."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from fedsim.scoring.metrics import images
from fedsim.scoring.metrics.aligned import align, explained

MIN_SIDE = 16
"""Shorter side in pixels below which a region of half the side shows too little."""

CONTENT = 0.2
"""Least variance of a region, as a share of the whole picture's: a plain corner is not content."""

EXACT = 0.9
"""Least share of a region's variance that is explained in an exact region."""

EXACT_DETAIL = 0.8
GAIN = 0.25
"""Largest squared error of an exact region, as a share of the best baseline's: 6 dB."""


def exact_region(
    found: Tensor, original: Tensor, baselines: Sequence[Tensor], public: Tensor
) -> float:
    """Return the content of the richest exact region, a quarter of the picture; 0 if there is none.

    The content is the region's variance as a share of the whole picture's.

    Args:
        found: ``(C, H, W)``, the reconstruction.
        original: ``(C, H, W)``.
        baselines: ``(C, H, W)`` each; the region must be closer than theirs.
        public: ``(M, C, H, W)``; no public picture may resemble the region as much.
    """
    if min(original.shape[1:]) < MIN_SIDE:
        return 0.0
    truths = _windows(original)
    content = truths.var((2, 3), correction=0).sum(1)
    content = content / original.double().var((1, 2), correction=0).sum().clamp(min=1e-12)
    mine = align(_windows(found), truths)
    hidden = 1 - mine.explained
    exact = (content >= CONTENT) & (mine.explained >= EXACT)
    exact &= images.detail(mine.fitted, mine.truths) >= EXACT_DETAIL
    for guess in baselines:
        if not bool(exact.any()):
            return 0.0
        exact &= hidden <= GAIN * (1 - explained(_windows(guess), truths))
    regions = torch.nonzero(exact).flatten().tolist()
    if not regions:
        return 0.0
    if len(public) == 0:
        return float(content[regions].max())
    windows = _windows(public.flatten(0, 1))
    others = windows.reshape(len(truths), *public.shape[:2], *windows.shape[2:])
    own = [
        float(content[at])
        for at in regions
        if bool((explained(others[at], truths[at : at + 1]) < mine.explained[at]).all())
    ]
    return max(own, default=0.0)


def _windows(picture: Tensor) -> Tensor:
    """Return the windows of half the sides, a quarter of them apart, (K, C, h, w) float64."""
    height, width = (side // 2 for side in picture.shape[1:])
    rows = picture.double().unfold(1, height, max(1, height // 4))
    both = rows.unfold(2, width, max(1, width // 4))
    return both.permute(1, 2, 0, 3, 4).flatten(0, 1).contiguous()
