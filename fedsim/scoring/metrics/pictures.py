"""The metrics of `images`, registered."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from fedsim.core.registry import METRICS
from fedsim.scoring.metrics import images
from fedsim.scoring.metrics.base import PictureMetric


@METRICS.register("mse")
class MeanSquaredError(PictureMetric):
    """Mean squared error of the pixels."""

    higher_is_better: ClassVar[bool] = False

    def score(self, rebuilt: Tensor, originals: Tensor) -> Tensor:
        """Return the error of each picture, (N,) in [0, 1]."""
        return images.mse(rebuilt, originals)


@METRICS.register("psnr")
class SignalToNoise(PictureMetric):
    """Peak signal-to-noise ratio, at most 100 dB."""

    unit: ClassVar[str] = " dB"

    def score(self, rebuilt: Tensor, originals: Tensor) -> Tensor:
        """Return the ratio of each picture in dB, (N,)."""
        return images.psnr(rebuilt, originals)


@METRICS.register("ssim")
class StructuralSimilarity(PictureMetric):
    """Structural similarity."""

    def score(self, rebuilt: Tensor, originals: Tensor) -> Tensor:
        """Return the similarity of each picture, (N,) in [-1, 1]."""
        return images.ssim(rebuilt, originals)


@METRICS.register("detail")
class Detail(PictureMetric):
    """Share of the original's fine detail in the reconstruction."""

    def score(self, rebuilt: Tensor, originals: Tensor) -> Tensor:
        """Return the share of each picture, (N,)."""
        return images.detail(rebuilt, originals)
