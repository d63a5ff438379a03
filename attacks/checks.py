"""Checks of an observation against the model, before an attack."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor, nn

from fedsim.attacks.labels.infer import check_range
from fedsim.attacks.types import Observation
from fedsim.core.errors import AttackError


def checked_observation(
    model: nn.Module, observation: Observation, outputs: Callable[[tuple[int, ...]], int]
) -> Observation:
    """Return an observation with its labels as attacks expect them: int64, or floating targets.

    Args:
        model: the attacked model.
        observation: the victim.
        outputs: returns the size of the model's output for the shape of an example.

    Raises:
        AttackError: it cannot be attacked.
    """
    if observation.batch_size < 1:
        raise AttackError(f"batch size {observation.batch_size}: expected at least 1")
    _check_gradient(model, observation)
    _ = observation.scale  # raises if it does not fit
    labels = observation.labels
    if labels is not None:
        _check_labels(labels, observation)
    classes = outputs(observation.input_shape)
    if classes == 1 and observation.is_classification:
        raise AttackError(
            "one output: not a classifier, whose mean cross-entropy would be zero whatever the "
            "data are; give the client's loss, such as Observation(loss=..., labels=...)"
        )
    if labels is None:
        return observation
    if labels.ndim == 1 and not labels.is_floating_point():
        check_range(labels, classes)
        return replace(observation, labels=labels.long())
    return replace(observation, labels=labels.to(next(model.parameters()).dtype))


def unsupported_computation(error: RuntimeError) -> str | None:
    """Return the cause of an error of PyTorch's on a model that attacks cannot follow, or None."""
    text = str(error)
    first = text.splitlines()[0] if text else type(error).__name__
    if "derivative for" in text and "is not implemented" in text:
        return (
            f"the model has an operation without a second derivative ({first}); "
            "use attention that has one: attn_implementation='eager' for a model of Hugging "
            "Face's, or PyTorch's math kernel "
            "(torch.nn.attention.sdpa_kernel(SDPBackend.MATH) around the attack)"
        )
    if "data-dependent control flow" in text or text.startswith("vmap:"):
        return (
            "the model computes in a way that depends on the values of its inputs, or changes "
            f"tensors in place, so that victims cannot be batched ({first}); "
            "write its forward without branches on values"
        )
    return None


def _check_gradient(model: nn.Module, observation: Observation) -> None:
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue  # a frozen layer has no gradient to share
        shared = observation.gradient.get(name)
        if shared is None:
            raise AttackError(f"the gradient of {name!r} is missing")
        if shared.shape != parameter.shape:
            raise AttackError(
                f"the gradient of {name!r} has shape {tuple(shared.shape)}, "
                f"expected {tuple(parameter.shape)}"
            )
        if not bool(torch.isfinite(shared).all()):
            raise AttackError(f"the gradient of {name!r} holds NaN or infinite values")


def _check_labels(labels: Tensor, observation: Observation) -> None:
    size, classifies = observation.batch_size, observation.is_classification
    rows = labels.is_floating_point() and (labels.ndim > 1 or not classifies)
    rows |= not classifies and labels.ndim > 1
    if labels.ndim == 0 or len(labels) != size or not (rows or labels.ndim == 1):
        raise AttackError(f"labels have shape {tuple(labels.shape)}, expected ({size},)")
    if labels.is_floating_point() and not rows:
        raise AttackError(f"labels have the type {labels.dtype}, expected whole numbers")
    if labels.is_floating_point() and not bool(torch.isfinite(labels).all()):
        raise AttackError("labels hold NaN or infinite values")
