"""Gradients of single examples in the rows of dense layers."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from fedsim.core.modules import probing


def row_gradients(model: nn.Module, inputs: Tensor, labels: Tensor) -> dict[str, Tensor]:
    """Return each example's gradient of each bias of the dense layers ``(examples, rows)``.

    The cross-entropy of each example counts alone; examples of texts sum over their tokens.
    """
    seen: dict[nn.Module, Tensor] = {}

    def keep(module: nn.Module, given: tuple[Any, ...], output: Any) -> None:
        if _is_dense(module) and output.requires_grad:
            seen[module] = output

    with probing(model, keep), torch.enable_grad():
        logits = model(inputs)
    if not seen:
        return {}
    loss = summed_loss(logits, labels)
    found = torch.autograd.grad(loss, list(seen.values()), allow_unused=True)
    names = {module: name for name, module in model.named_modules()}
    return {
        names[module]: part.reshape(len(inputs), -1, part.shape[-1]).sum(1)
        for module, part in zip(seen, found, strict=True)
        if part is not None
    }


def _is_dense(module: nn.Module) -> bool:
    """Return whether a module is a dense layer, PyTorch's or that of Hugging Face's GPT-2."""
    own = dict(module.named_parameters(recurse=False))
    known = "bias" in own and "weight" in own and own["weight"].ndim == 2
    return known or isinstance(module, nn.Linear)


def summed_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the cross-entropy of a batch, summed over its examples, or its tokens."""
    if labels.is_floating_point():
        return nn.functional.cross_entropy(logits, labels, reduction="sum")
    return nn.functional.cross_entropy(
        logits.flatten(0, -2), labels.flatten(), reduction="sum", ignore_index=-100
    )
