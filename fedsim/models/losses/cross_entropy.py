"""Cross-entropy, with class weights and label smoothing."""

from __future__ import annotations

from typing import Annotated, ClassVar

import torch
from pydantic import BeforeValidator, Field
from torch import Tensor

from fedsim.core.losses import LossFunction, mean_cross_entropy, weighted_cross_entropy
from fedsim.core.registry import LOSSES
from fedsim.models.loss import cross_entropy
from fedsim.models.losses.base import Loss

Weights = Annotated[
    tuple[Annotated[float, Field(gt=0)], ...],
    BeforeValidator(
        lambda value: tuple(map(float, value)) if isinstance(value, list | tuple) else value
    ),
]


@LOSSES.register("cross-entropy")
class CrossEntropy(Loss):
    """Cross-entropy of logits, as ``torch.nn.CrossEntropyLoss`` averages it.

    Smoothed labels are those of Szegedy et al., CVPR 2016 (arXiv 1512.00567), section 7.
    """

    classes_only: ClassVar[bool] = True

    smoothing: Annotated[
        float,
        Field(ge=0, lt=1, examples=[0.1], description="share of the uniform distribution"),
    ] = 0.0
    weights: Annotated[Weights | None, Field(description="weight of each class, > 0")] = None

    def of_rows(self, outputs: Tensor, target: Tensor) -> Tensor:
        """Return the loss, the weighted mean over the examples."""
        if self.is_plain:
            return mean_cross_entropy(outputs, target)
        weight = None if self.weights is None else torch.tensor(self.weights).to(outputs)
        return weighted_cross_entropy(outputs, target, weight, self.smoothing)

    def of_labels(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Return the loss of a client's batch, also of texts, if it is plain."""
        if self.is_plain:
            return cross_entropy(outputs, labels)
        return super().of_labels(outputs, labels)

    def function(self) -> LossFunction:
        """Return the loss as attacks take it."""
        return mean_cross_entropy if self.is_plain else super().function()

    @property
    def is_plain(self) -> bool:
        """Whether it is the mean cross-entropy."""
        return self.smoothing == 0 and self.weights is None

    def objection(self, classes: int) -> str | None:
        """Return the reason why the weights do not suit a number of classes, or None."""
        if self.weights is None or len(self.weights) == classes:
            return None
        return f"{len(self.weights)} weights for {classes} classes; give one for each"
