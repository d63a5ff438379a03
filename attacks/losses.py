"""Losses of PyTorch's as attacks take them: functions of outputs and rows of targets."""

from __future__ import annotations

import torch.nn.functional as F  # noqa: N812  (the name that everybody knows)
from torch import Tensor, nn

from fedsim.attacks.assumptions import Loss, mean_cross_entropy
from fedsim.core.errors import AttackError


def as_loss(loss: object) -> Loss:
    """Return a client's loss as attacks take it.

    The cross-entropy, as a function or a module, is that of rows of probabilities; class weights
    and label smoothing are those of the module. Anything else is taken as it is: a function of the
    outputs and of targets in the form that it needs, such as ``nn.MSELoss()`` or
    ``nn.BCEWithLogitsLoss()``.

    Raises:
        AttackError: it cannot be called, or does not average.
    """
    if loss is None or loss is mean_cross_entropy or loss is F.cross_entropy:
        return mean_cross_entropy
    if isinstance(loss, nn.CrossEntropyLoss):
        return _of_module(loss)
    if not callable(loss):
        raise AttackError(f"loss: expected a function of outputs and targets, not {loss!r}")
    given: Loss = loss
    return given


def weighted_cross_entropy(
    outputs: Tensor, target: Tensor, weight: Tensor | None, smoothing: float
) -> Tensor:
    """Return the cross-entropy with class weights and label smoothing, as PyTorch averages it.

    Args:
        outputs: logits ``(N, classes)``.
        target: one-hot rows of the same shape.
        weight: weight of each class ``(classes,)``, or None.
        smoothing: share of the uniform distribution in the target.
    """
    own = outputs.new_ones(outputs.shape[-1]) if weight is None else weight.to(outputs)
    costs = -own * F.log_softmax(outputs, dim=-1)
    size = (target * own).sum()
    smooth = costs.sum() / size / outputs.shape[-1]
    return (1 - smoothing) * (target * costs).sum() / size + smoothing * smooth


def _of_module(loss: nn.CrossEntropyLoss) -> Loss:
    if loss.reduction != "mean":
        raise AttackError(
            f"loss: CrossEntropyLoss(reduction={loss.reduction!r}): expected 'mean'; for a sum "
            "multiply the learning rate by the batch size"
        )
    weight, smoothing = loss.weight, loss.label_smoothing
    if weight is None and smoothing == 0:
        return mean_cross_entropy
    return lambda outputs, target: weighted_cross_entropy(outputs, target, weight, smoothing)
