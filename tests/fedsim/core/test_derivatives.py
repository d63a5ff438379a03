"""Gradients as functions, against those of `torch.func`."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, func

from fedsim.core.derivatives import grad, grad_and_value

pytestmark = pytest.mark.numeric

GENERATOR = torch.Generator().manual_seed(0)
X, Y = torch.randn((4, 3), generator=GENERATOR), torch.randn((4, 3), generator=GENERATOR)
NAMED = {"b": X, "a": torch.randn((4, 2), generator=GENERATOR)}


def of_a_tensor(x: Tensor, y: Tensor) -> Tensor:
    return (torch.sigmoid(x) * y).square().sum()


def of_named(named: dict[str, Tensor], y: Tensor) -> Tensor:
    return of_a_tensor(named["b"], y) + named["a"].prod()


def of_one_of_them(named: dict[str, Tensor], y: Tensor) -> Tensor:
    return of_a_tensor(named["b"], y)


def constant(x: Tensor, y: Tensor) -> Tensor:
    return y.sum()


def without_a_graph(x: Tensor, y: Tensor) -> Tensor:
    with torch.no_grad():
        return of_a_tensor(x, y)


CASES = [
    (of_a_tensor, X),
    (of_named, NAMED),
    (of_one_of_them, NAMED),
    (constant, X),
    (without_a_graph, X),
]


@pytest.mark.parametrize(("function", "first"), CASES)
@pytest.mark.parametrize("mapped", [False, True])
def test_they_are_those_of_torch(function: Callable[..., Tensor], first: Any, mapped: bool) -> None:
    ours, theirs = grad_and_value(function), func.grad_and_value(function)
    if mapped:
        ours, theirs = func.vmap(ours), func.vmap(theirs)
    found = ours(first, Y)
    assert type(found[0]) is type(first)
    torch.testing.assert_close(found, theirs(first, Y), rtol=0, atol=0)
    if not mapped:
        torch.testing.assert_close(grad(function)(first, Y), found[0], rtol=0, atol=0)


def test_what_is_returned_beside_the_value() -> None:
    def with_more(x: Tensor, y: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        return of_a_tensor(x, y), {"mean": x.mean(0), "y": y}

    slopes, (value, aux) = func.vmap(grad_and_value(with_more, has_aux=True))(X, Y)
    assert not aux["mean"].requires_grad
    theirs = func.vmap(func.grad_and_value(with_more, has_aux=True))(X, Y)
    torch.testing.assert_close((slopes, (value, aux)), theirs, rtol=0, atol=0)
    assert torch.equal(grad(with_more, has_aux=True)(X, Y)[1]["mean"], X.mean(0))


@pytest.mark.parametrize("mapped", [False, True])
def test_gradients_of_gradients(mapped: bool) -> None:
    def twice(one: Callable[..., Any]) -> Callable[..., Any]:
        def of_gradient(x: Tensor, y: Tensor) -> Tensor:
            slopes = one(of_named)({"b": x, "a": x[..., :2].sin()}, y)
            return slopes["b"].square().sum() + slopes["a"].sin().sum()

        second = one(lambda x, y: (one(of_gradient)(x, y) * y).sum())
        return func.vmap(second) if mapped else second

    assert bool(twice(grad)(X, Y).abs().max() > 0)
    torch.testing.assert_close(twice(grad)(X, Y), twice(func.grad)(X, Y), rtol=0, atol=0)


def test_the_graph_of_the_caller_goes_on() -> None:
    x = X.clone().requires_grad_()
    (slopes,) = torch.autograd.grad(grad(of_a_tensor)(x, Y).square().sum(), x)
    y = X.clone().requires_grad_()
    (theirs,) = torch.autograd.grad(func.grad(of_a_tensor)(y, Y).square().sum(), y)
    torch.testing.assert_close(slopes, theirs, rtol=0, atol=0)
