"""Losses of a batch as functions of outputs and rows of targets, for clients and attackers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812  (the name that everybody knows)
from torch import Tensor

LossFunction = Callable[[Tensor, Tensor], Tensor]
"""``(outputs (N, ...), target (N, ...)) -> scalar``, differentiable twice by the outputs, and
mapped over many batches (`torch.func.vmap`): without branches on values. Labels that are classes
come as one-hot rows ``(N, classes)``, others as given."""


def mean_cross_entropy(outputs: Tensor, target: Tensor) -> Tensor:
    """Return the mean cross-entropy of logits.

    Args:
        outputs: logits ``(N, classes)``, or ``(N, L, classes)``.
        target: rows of the same shape: distributions, each times its weight in the mean. A row of
            zeros is left out.
    """
    return -(target * F.log_softmax(outputs, dim=-1)).sum() / target.sum()


def weighted_cross_entropy(
    outputs: Tensor, target: Tensor, weight: Tensor | None, smoothing: float
) -> Tensor:
    """Return the cross-entropy with class weights and label smoothing, as PyTorch averages it.

    Args:
        outputs: logits ``(N, classes)``.
        target: one-hot rows of the same shape. A row of two classes counts as a part of an example
            of each.
        weight: weight of each class ``(classes,)``, or None.
        smoothing: share of the uniform distribution in the target.
    """
    own = outputs.new_ones(outputs.shape[-1]) if weight is None else weight.to(outputs)
    costs = -own * F.log_softmax(outputs, dim=-1)
    size = (target * own).sum()
    smooth = costs.sum() / size / outputs.shape[-1]
    return (1 - smoothing) * (target * costs).sum() / size + smoothing * smooth


@dataclass(frozen=True, eq=False)
class LossOfClasses:
    """Loss, other than the mean cross-entropy, whose targets are classes.

    Attackers may take it that each row of the target is one-hot.

    Attributes:
        function: the loss.
    """

    function: LossFunction

    def __call__(self, outputs: Tensor, target: Tensor) -> Tensor:
        """Return the loss of a batch."""
        return self.function(outputs, target)


def rows_of(labels: Tensor, outputs: Tensor) -> Tensor:
    """Return labels as rows of the shape and type of a model's outputs.

    Args:
        labels: classes ``(N,)``, or rows ``(N, classes)``, which are returned as they are.
        outputs: of the model, ``(N, classes)``.
    """
    if labels.ndim == outputs.ndim:
        return labels.to(outputs)
    classes = torch.arange(outputs.shape[-1], device=labels.device)
    return (labels[..., None] == classes).to(outputs)
