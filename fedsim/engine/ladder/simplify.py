"""Copies of a model that are easier to attack: smooth activations, and average for max pooling."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812  (the name that everybody knows)
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from fedsim.core.randomness import global_randomness

Change = Callable[..., Any]
Changes = Mapping[str, Change]
"""Replacements of PyTorch's functions, by the function's name."""


def _smooth(inputs: Tensor, *given: Any, **named: Any) -> Tensor:
    return F.gelu(inputs)


def _averaged(pool: Change) -> Change:
    """Return the counterpart of a max pooling, which has the same window."""

    def average(
        inputs: Tensor,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        dilation: Any = 1,
        ceil_mode: bool = False,
        return_indices: bool = False,
    ) -> Tensor:
        found: Tensor = pool(inputs, kernel_size, stride, padding, ceil_mode)
        return found

    return average


def _adaptive(pool: Change) -> Change:
    def average(inputs: Tensor, output_size: Any, return_indices: bool = False) -> Tensor:
        found: Tensor = pool(inputs, output_size)
        return found

    return average


ACTIVATIONS: Changes = dict.fromkeys(("relu", "relu6", "leaky_relu", "elu", "hardtanh"), _smooth)
"""Activations with a bend, by the name of their function: GELU takes their place."""

POOLINGS: Changes = {
    "max_pool1d": _averaged(F.avg_pool1d),
    "max_pool2d": _averaged(F.avg_pool2d),
    "max_pool3d": _averaged(F.avg_pool3d),
    "adaptive_max_pool1d": _adaptive(F.adaptive_avg_pool1d),
    "adaptive_max_pool2d": _adaptive(F.adaptive_avg_pool2d),
    "adaptive_max_pool3d": _adaptive(F.adaptive_avg_pool3d),
}
"""Max poolings, by the name of their function: average pooling takes their place."""

_MODULES = (nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.Hardtanh)


class _Replacing(TorchFunctionMode):
    """Context in which PyTorch's functions are replaced, in modules and elsewhere.

    Dilated max pooling has no average counterpart and is left as it is.
    """

    def __init__(self, changes: Changes) -> None:
        super().__init__()
        self._changes, self.found = changes, set[str]()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        named, name = kwargs or {}, getattr(func, "__name__", "")
        change = self._changes.get(name)
        if change is None or named.get("dilation", 1) not in (1, (1, 1), (1,), (1, 1, 1)):
            return func(*args, **named)
        self.found.add(name)
        return change(*args, **named)


class _Changed(nn.Module):
    """Base of a model's class whose forward pass uses other functions."""

    _changes: Changes

    def forward(self, *given: Any, **named: Any) -> Any:
        """Return the outputs of the model with its functions replaced."""
        with _Replacing(self._changes):
            return super().forward(*given, **named)


def used(model: nn.Module, example: Tensor, changes: Changes) -> list[str]:
    """Return the names of the functions among ``changes`` that a model's forward pass uses.

    Args:
        model: the model; left as it is.
        example: inputs ``(N, ...)``.
        changes: the functions to look for.
    """
    watch = _Replacing(changes)
    with torch.no_grad(), global_randomness(), watch:
        copy.deepcopy(model).eval()(example)
    return sorted(watch.found)


def replaced(model: nn.Module, *changes: Changes) -> nn.Module:
    """Return a copy of a model whose forward pass uses other functions.

    Functions are replaced wherever the forward pass calls them, by modules (``nn.ReLU``) or
    directly (``F.relu``). The names of the parameters stay as they are.

    Args:
        model: the model.
        changes: the replacements.
    """
    made, own = copy.deepcopy(model), type(model)
    if ACTIVATIONS in changes:
        _replace_modules(made)
    both = {name: change for each in changes for name, change in each.items()}
    made.__class__ = type(own.__name__, (_Changed, own), {"_changes": both})
    return made


def depends_on_mode(model: nn.Module) -> bool:
    """Return whether a model has layers that depend on its mode (BatchNorm, dropout)."""
    kinds = (nn.modules.batchnorm._BatchNorm, nn.modules.dropout._DropoutNd)
    return any(isinstance(module, kinds) for module in model.modules())


def _replace_modules(model: nn.Module) -> None:
    """Put GELU in the place of modules, so that closed forms see what is computed."""
    for module in list(model.modules()):
        for name, child in module.named_children():
            if isinstance(child, _MODULES):
                setattr(module, name, nn.GELU())
