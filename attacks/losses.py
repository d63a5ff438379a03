"""Losses of PyTorch's as attacks take them: functions of outputs and rows of targets."""

from __future__ import annotations

import torch.nn.functional as F  # noqa: N812  (the name that everybody knows)
from torch import nn

from fedsim.attacks.assumptions import Loss
from fedsim.core.errors import AttackError
from fedsim.core.losses import LossOfClasses, mean_cross_entropy, weighted_cross_entropy


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


def _of_module(loss: nn.CrossEntropyLoss) -> Loss:
    if loss.reduction != "mean":
        raise AttackError(
            f"loss: CrossEntropyLoss(reduction={loss.reduction!r}): expected 'mean'; for a sum "
            "multiply the learning rate by the batch size"
        )
    weight, smoothing = loss.weight, loss.label_smoothing
    if weight is None and smoothing == 0:
        return mean_cross_entropy
    return LossOfClasses(
        lambda outputs, target: weighted_cross_entropy(outputs, target, weight, smoothing)
    )
