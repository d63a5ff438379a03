"""Gradients of single examples in the rows of dense layers."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from fedsim.clients.defenses.base import BatchLoss
from fedsim.core.modules import probing


def row_gradients(
    model: nn.Module, inputs: Tensor, labels: Tensor, loss: BatchLoss
) -> dict[str, Tensor]:
    """Return each example's share in the gradient of each dense bias ``(examples, rows)``.

    Examples of texts sum over their tokens.

    Args:
        model: the model.
        inputs: of the batch.
        labels: of the batch, as the loss takes them.
        loss: mean over the batch, of outputs and labels.
    """
    seen: dict[nn.Module, Tensor] = {}

    def keep(module: nn.Module, given: tuple[Any, ...], output: Any) -> None:
        if _is_dense(module) and output.requires_grad:
            seen[module] = output

    with probing(model, keep), torch.enable_grad():
        outputs = model(inputs)
    if not seen:
        return {}
    found = torch.autograd.grad(loss(outputs, labels), list(seen.values()), allow_unused=True)
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
