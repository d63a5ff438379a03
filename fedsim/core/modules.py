"""Inspection of the modules of a model."""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from fedsim.core.randomness import global_randomness

Look = Callable[[nn.Module, tuple[Any, ...], Any], None]
"""``(module, inputs, output)`` of one module in a forward pass."""


class Drawing(nn.Module):
    """Layer whose output depends on a standard normal draw for each example.

    Attributes:
        draw_size: numbers in the draw of one example.
        draws: the draws to use, ``(N, draw_size)``; None to draw them, or to use none.
    """

    draw_size: int
    draws: Tensor | None = None


def copied(model: nn.Module) -> nn.Module:
    """Return a copy of a model, as `copy.deepcopy` does, in a fraction of the time.

    A module holds two dozen attributes, nearly all of them flags and empty dictionaries of hooks,
    for each of which `copy.deepcopy` takes as long as for one with contents. Modules that define
    how they are copied, and attributes of other kinds, are left to it.
    """
    own: nn.Module = _copied(model, {})
    return own


def _copied(module: nn.Module, memo: dict[int, Any]) -> Any:
    if id(module) in memo:
        return memo[id(module)]
    kind = type(module)
    if any(getattr(kind, name, None) != getattr(nn.Module, name, None) for name in _COPYING):
        return copy.deepcopy(module, memo)
    own = memo[id(module)] = kind.__new__(kind)
    held = {}
    for name, value in module.__dict__.items():
        form = type(value)
        if form in _UNCHANGING or (form is tuple and _UNCHANGING.issuperset(map(type, value))):
            held[name] = value
        elif name == "_modules":
            held[name] = form((k, m if m is None else _copied(m, memo)) for k, m in value.items())
        elif not value and form in _CONTAINERS:
            held[name] = memo.setdefault(id(value), form())
        else:
            held[name] = copy.deepcopy(value, memo)
    own.__setstate__(held)  # type: ignore[no-untyped-call]
    return own


_COPYING = ("__deepcopy__", "__reduce_ex__", "__reduce__", "__getstate__")
_UNCHANGING = frozenset((bool, int, float, str, bytes, type(None), torch.dtype))
_CONTAINERS = frozenset((dict, OrderedDict, set, list))


def on_cpu(model: nn.Module) -> nn.Module:
    """Return a model without values (on the meta device) with undefined values on the CPU.

    `torch.nn.Module.to_empty` does the same, but imports PyTorch's symbolic shapes, which takes
    seconds in a new process.
    """
    for module in model.modules():
        for name, p in list(module.named_parameters(recurse=False, remove_duplicate=False)):
            empty = torch.empty(p.shape, dtype=p.dtype, device="cpu")
            setattr(module, name, nn.Parameter(empty, p.requires_grad))
        for name, b in list(module.named_buffers(recurse=False, remove_duplicate=False)):
            setattr(module, name, torch.empty(b.shape, dtype=b.dtype, device="cpu"))
    return model


def drawing_layers(model: nn.Module) -> list[Drawing]:
    """Return the layers that draw, in the order of the model's modules."""
    return [module for module in model.modules() if isinstance(module, Drawing)]


def draw_size(model: nn.Module) -> int:
    """Return the count of numbers that all layers together draw for one example."""
    return sum(layer.draw_size for layer in drawing_layers(model))


@contextmanager
def using_draws(model: nn.Module, draws: Tensor | None) -> Iterator[None]:
    """Context in which the layers that draw use given draws.

    Args:
        model: the model, to be called inside the context.
        draws: ``(N, draw_size)``, of all layers one after the other; None for no change.
    """
    layers = drawing_layers(model) if draws is not None else []
    sizes = [layer.draw_size for layer in layers]
    parts = [] if draws is None else torch.split(draws, sizes, dim=-1)
    try:
        for layer, part in zip(layers, parts, strict=True):
            layer.draws = part
        yield
    finally:
        for layer in layers:  # a traced tensor must not outlive its trace
            layer.draws = None


_DROPOUTS = frozenset(
    ("dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout", "feature_alpha_dropout")
)
_ATTENTION = {"scaled_dot_product_attention", "multi_head_attention_forward"}


class DropoutOff(TorchFunctionMode):
    """Context in which no function of dropout draws, in layers and elsewhere.

    Layers of dropout follow their own mode, but a forward pass can call ``F.dropout`` itself, or
    attention with a probability of dropout.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        named, name = dict(kwargs or {}), getattr(func, "__name__", "")
        if name in _DROPOUTS:
            return args[0] if args else named["input"]
        if name in _ATTENTION and named.get("dropout_p"):
            named["dropout_p"] = 0.0
        if name in _ATTENTION and named.get("training"):
            named["training"] = False
        return func(*args, **named)


def drops(model: nn.Module) -> bool:
    """Return whether a model has layers of dropout that draw, in its present mode."""
    kind = nn.modules.dropout._DropoutNd
    return any(isinstance(m, kind) and m.training and m.p > 0 for m in model.modules())


def draws(model: nn.Module, inputs: Tensor) -> bool:
    """Return whether outputs of a model depend on random numbers, in its present mode.

    Found by layers of dropout, or else by two forward passes of a copy under different random
    numbers, so that ``F.dropout`` in a forward pass is seen too. Layers whose draws attacks search
    for (`Drawing`) do not count. A model that cannot be evaluated is taken to draw nothing.

    Args:
        model: the model; left as it is, as is the global random state.
        inputs: examples ``(N, ...)``.
    """
    if drops(model):
        return True
    found = []
    try:
        for seed in (1, 2):
            own = copy.deepcopy(model)
            size = draw_size(own)
            given = using_draws(own, torch.zeros(len(inputs), size) if size else None)
            with global_randomness(seed), torch.no_grad(), given:
                found.append(own(inputs))
    except (RuntimeError, ValueError, TypeError, IndexError):
        return False
    one, other = found
    if not isinstance(one, Tensor) or not isinstance(other, Tensor):
        return False
    return not torch.equal(one.nan_to_num(), other.nan_to_num())


def without_dropout(model: nn.Module) -> nn.Module:
    """Put the layers of dropout into evaluation mode, and return the model."""
    for module in model.modules():
        if isinstance(module, nn.modules.dropout._DropoutNd):
            module.eval()
    return model


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
