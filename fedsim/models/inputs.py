"""Preparation of pictures inside a model: colour, resizing and normalisation."""

from __future__ import annotations

from typing import Literal, Self

import torch
import torch.nn.functional as F  # noqa: N812  (the name that everybody knows)
from torch import Tensor, nn

Normalise = Literal["none", "imagenet", "centred"]
_NUMBERS: dict[Normalise, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "none": ((0.0,), (1.0,)),
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "centred": ((127 / 255,), (128 / 255,)),
}


class Inputs(nn.Module):
    """Pictures in [0, 1] as a network for colour pictures takes them.

    Data stay in [0, 1] for people and attacks; the model itself resizes and normalises. The layer
    has no parameters and no buffers, so that nothing of it is uploaded.

    Args:
        side: height and width in pixels to which pictures are resized, by bilinear interpolation;
            None to leave them.
        normalise: mean and standard deviation of each channel: ``"imagenet"``, ``"centred"``
            for a range of [-1, 1], or ``"none"``.
    """

    def __init__(self, side: int | None, normalise: Normalise) -> None:
        super().__init__()
        self.side, self.normalise = side, normalise

    def forward(self, pictures: Tensor) -> Tensor:
        """Return ``(N, 3, H, W)`` for pictures ``(N, C, H, W)``, C 1 or 3."""
        pictures = pictures.expand(-1, 3, -1, -1)
        if self.side is not None and pictures.shape[-2:] != (self.side, self.side):
            size = (self.side, self.side)
            pictures = F.interpolate(pictures, size, mode="bilinear", align_corners=False)
        mean, std = (torch.tensor(n).view(-1, 1, 1) for n in _NUMBERS[self.normalise])
        return (pictures - mean.to(pictures)) / std.to(pictures)


class FrozenBatchNorm2d(nn.BatchNorm2d):
    """Batch normalisation that stays in evaluation mode when its model is put in training mode."""

    def train(self, mode: bool = True) -> Self:
        """Stay in evaluation mode."""
        return super().train(False)
