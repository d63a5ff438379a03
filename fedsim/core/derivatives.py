"""Gradients as functions, as `torch.func.grad` has them, without the compiler that it imports.

On their first call `torch.func.grad` and `torch.func.grad_and_value` import ``torch._dynamo``,
which takes two seconds in every process that attacks; they do not use it. In the function that
`torch.func.vjp` calls, `torch.autograd.grad` finds the same numbers by the same operations.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.func import vjp


def grad(function: Callable[..., Any], *, has_aux: bool = False) -> Callable[..., Any]:
    """Return a function's gradient with respect to its first argument, as a function.

    Args:
        function: of a tensor, or of tensors by name, and of anything else; returns a scalar
            tensor, or a pair of one and of something that consists of tensors.
        has_aux: whether it returns a pair, whose second part is returned beside the gradient.
    """
    both = grad_and_value(function, has_aux=has_aux)

    def gradient(first: Tensor | Mapping[str, Tensor], *others: Any) -> Any:
        slopes, value = both(first, *others)
        return (slopes, value[1]) if has_aux else slopes

    return gradient


def grad_and_value(function: Callable[..., Any], *, has_aux: bool = False) -> Callable[..., Any]:
    """Return a function of a function's gradient and its value, as `grad` does.

    It returns pairs of the gradient and of what the function returned.
    """

    def both(first: Tensor | Mapping[str, Tensor], *others: Any) -> Any:
        def at(first: Tensor | dict[str, Tensor]) -> Any:
            found = function(first, *others)
            value, aux = found if has_aux else (found, ())
            return (_slopes(value, first), value), aux

        point = dict(first) if isinstance(first, Mapping) else first
        found: Any = vjp(at, point, has_aux=True)
        (slopes, value), _, aux = found
        return slopes, (value, aux) if has_aux else value

    return both


def _slopes(value: Tensor, first: Tensor | dict[str, Tensor]) -> Tensor | dict[str, Tensor]:
    """Return the derivatives of a value, zero where it does not depend on a tensor."""
    tensors = list(first.values()) if isinstance(first, dict) else [first]
    if value.requires_grad:
        found = torch.autograd.grad(value, tensors, create_graph=True, materialize_grads=True)
    else:
        found = tuple(torch.zeros_like(x) for x in tensors)
    return dict(zip(first, found, strict=True)) if isinstance(first, dict) else found[0]
