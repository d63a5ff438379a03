"""Small convolutions by another kernel: the same numbers, but for rounding."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from fedsim.attacks.matching.small_convolutions import quicker
from fedsim.attacks.matching.tape import taped

pytestmark = pytest.mark.numeric

ATEN = torch.ops.aten
GENERATOR = torch.Generator().manual_seed(0)
X = torch.randn(1, 3, 9, 8, generator=GENERATOR, dtype=torch.float64)
WEIGHT = torch.randn(4, 3, 5, 3, generator=GENERATOR, dtype=torch.float64)
BIAS = torch.randn(4, generator=GENERATOR, dtype=torch.float64)
PLAIN = [[1, 1], False, [0, 0], 1]
"""Dilation, not transposed, nothing more at the sides of the output, one group."""


def computed(func: Any, args: tuple[Any, ...], kernel: Any) -> None:
    """Check that an operation is computed by a kernel, with its results."""
    own, given = quicker(func, args)
    assert own is kernel
    for ours, theirs in zip(torch.utils._pytree.tree_leaves(own(*given)),
                            torch.utils._pytree.tree_leaves(func(*args)), strict=True):  # fmt: skip
        if theirs is not None and ours is not None:
            torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("bias", [None, BIAS], ids=["no bias", "bias"])
@pytest.mark.parametrize("stride", [[1, 1], [2, 1]], ids=str)
@pytest.mark.parametrize("padding", [[0, 0], [2, 1]], ids=str)
def test_forwards(bias: Tensor | None, stride: list[int], padding: list[int]) -> None:
    args = (X, WEIGHT, bias, stride, padding, *PLAIN)
    computed(ATEN.convolution.default, args, ATEN._slow_conv2d_forward.default)


@pytest.mark.parametrize("wanted", [[True] * 3, [True, False, False], [False, True, True]], ids=str)
@pytest.mark.parametrize("stride", [[1, 1], [2, 2]], ids=str)
def test_backwards(wanted: list[bool], stride: list[int]) -> None:
    out = torch.ones_like(F.conv2d(X, WEIGHT, None, stride, 2))
    args = (out.cumsum(-1), X, WEIGHT, [4], stride, [2, 2], *PLAIN, wanted)
    computed(ATEN.convolution_backward.default, args, ATEN._slow_conv2d_backward.output_mask)


@pytest.mark.parametrize(("stride", "more"), [([1, 1], [0, 0]), ([2, 2], [1, 0])], ids=str)
def test_transposed(stride: list[int], more: list[int]) -> None:
    x = torch.randn(1, 4, 5, 5, generator=GENERATOR, dtype=torch.float64)
    args = (x, WEIGHT, None, stride, [2, 1], [1, 1], True, more, 1)
    computed(ATEN.convolution.default, args, ATEN.slow_conv_transpose2d.default)


@pytest.mark.parametrize(
    "args",
    [
        (X.expand(2, -1, -1, -1), WEIGHT, None, [1, 1], [0, 0], *PLAIN),
        (X, WEIGHT, None, [1, 1], [2, 2], [2, 1], False, [0, 0], 1),
        (X, WEIGHT[:3, :1], None, [1, 1], [0, 0], [1, 1], False, [0, 0], 3),
        (torch.zeros(1, 64, 32, 32), torch.zeros(64, 64, 3, 3), None, [1, 1], [1, 1], *PLAIN),
        (X[..., 0], WEIGHT[..., 0], None, [1], [0], [1], False, [0], 1),
        (X.to("meta"), WEIGHT.to("meta"), None, [1, 1], [0, 0], *PLAIN),
    ],
    ids=["two pictures", "spread", "groups", "large", "one dimension", "another device"],
)
def test_others_are_left_alone(args: tuple[Any, ...]) -> None:
    func = ATEN.convolution.default
    assert quicker(func, args) == (func, args)


def test_a_tape_uses_them(monkeypatch: pytest.MonkeyPatch) -> None:
    used = []

    def noted(func: Any, args: tuple[Any, ...]) -> tuple[Any, tuple[Any, ...]]:
        found = quicker(func, args)
        used.append(found[0])
        return found

    monkeypatch.setattr("fedsim.attacks.matching.tape.quicker", noted)

    def slope(x: Tensor) -> Tensor:
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            (first,) = torch.autograd.grad(
                F.conv2d(x, WEIGHT, BIAS, 2, 1).sigmoid().sum(), x, create_graph=True
            )
            (second,) = torch.autograd.grad(first.square().sum(), x)
        return second

    replay: Callable[..., Tensor] | None = taped(slope, [X])
    assert replay is not None
    torch.testing.assert_close(replay(2 * X), slope(2 * X))
    assert {ATEN._slow_conv2d_forward.default, ATEN._slow_conv2d_backward.output_mask} <= set(used)
