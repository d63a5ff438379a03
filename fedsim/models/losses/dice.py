"""Dice loss."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import Tensor

from fedsim.core.registry import LOSSES
from fedsim.models.losses.base import Loss


@LOSSES.register("dice")
class Dice(Loss):
    """Dice loss: one minus the soft overlap of sigmoid outputs and target.

    ``1 - (2 sum(p t) + s) / (sum(p) + sum(t) + s)`` for each example. Milletari et al., 3DV 2016
    (arXiv 1606.04797), section 3, have squares in the denominator and no ``s``.
    """

    smooth: Annotated[float, Field(gt=0, description="addend of numerator and denominator, s")] = (
        1.0
    )

    def of_rows(self, outputs: Tensor, target: Tensor) -> Tensor:
        """Return the mean over the examples."""
        chances, wanted = outputs.sigmoid().flatten(1), target.flatten(1)
        overlap = 2 * (chances * wanted).sum(1) + self.smooth
        return (1 - overlap / (chances.sum(1) + wanted.sum(1) + self.smooth)).mean()
