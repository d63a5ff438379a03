"""Inspection of the modules of a model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

Look = Callable[[nn.Module, tuple[Any, ...], Any], None]
"""``(module, inputs, output)`` of one module in a forward pass."""


def batch_norms(model: nn.Module) -> dict[str, nn.Module]:
    """Return the BatchNorm layers by name."""
    kind = nn.modules.batchnorm._BatchNorm
    return {name: module for name, module in model.named_modules() if isinstance(module, kind)}


def normalising_by_batch(model: nn.Module) -> dict[str, nn.Module]:
    """Return the BatchNorm layers that normalise by the batch in their current mode.

    A layer without running statistics does so in evaluation mode too.
    """
    return {
        name: norm
        for name, norm in batch_norms(model).items()
        if norm.training or norm.running_mean is None
    }


def normalises_by_batch(model: nn.Module) -> bool:
    """Return whether an example's output depends on the others of its batch."""
    return bool(normalising_by_batch(model))


def last_linear(model: nn.Module) -> tuple[str, nn.Linear] | None:
    """Return the name and module of the classification layer (the last dense one), or None."""
    found = [(name, m) for name, m in model.named_modules() if isinstance(m, nn.Linear)]
    return found[-1] if found else None


@contextmanager
def probing(model: nn.Module, look: Look) -> Iterator[None]:
    """Context in evaluation mode without gradients, with a hook on each module.

    Afterwards each module is in its own mode again. Running statistics do not change, and dropout
    does not draw.

    Args:
        model: the model, to be called inside the context.
        look: called after each module's forward pass.
    """
    modes = {module: module.training for module in model.modules()}
    handles = [module.register_forward_hook(look) for module in model.modules()]
    try:
        model.eval()
        with torch.no_grad():
            yield
    finally:
        for module, mode in modes.items():
            module.training = mode
        for handle in handles:
            handle.remove()
