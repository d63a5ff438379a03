"""Convolutions as products of matrices: the same numbers and derivatives, but for rounding."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.func import grad_and_value, vmap
from torch.nn import functional as F  # noqa: N812
from torch.overrides import TorchFunctionMode

from fedsim.attacks import IDLG
from fedsim.attacks.matching import small_convolutions
from fedsim.attacks.matching.small_convolutions import SmallConvolutions
from tests.victims import random_victims

pytestmark = pytest.mark.numeric

GENERATOR = torch.Generator().manual_seed(0)
X = torch.randn(2, 3, 9, 8, generator=GENERATOR, dtype=torch.float64)
WEIGHT = torch.randn(4, 3, 5, 3, generator=GENERATOR, dtype=torch.float64).requires_grad_()
LARGE = torch.zeros(64, 64, 3, 3, requires_grad=True)
BIAS = torch.randn(4, generator=GENERATOR, dtype=torch.float64)


class Counting(TorchFunctionMode):
    """Counts the calls of PyTorch's convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.calls += func is torch.conv2d
        return func(*args, **(kwargs or {}))


def seen(lanes: int, *args: Any, **kwargs: Any) -> tuple[Tensor, int]:
    """Return the result in the context, and how many convolutions PyTorch computed."""
    counting = Counting()
    with counting, SmallConvolutions(lanes):
        return F.conv2d(*args, **kwargs), counting.calls


@pytest.mark.parametrize("bias", [None, BIAS], ids=["no bias", "bias"])
@pytest.mark.parametrize("stride", [1, (2, 1), [3, 2]], ids=str)
@pytest.mark.parametrize("padding", [0, (2, 1), "valid"], ids=str)
@pytest.mark.parametrize("dilation", [1, (1, 2)], ids=str)
def test_forwards(bias: Tensor | None, stride: Any, padding: Any, dilation: Any) -> None:
    found, by_pytorch = seen(1, X, WEIGHT, bias, stride, padding, dilation)
    torch.testing.assert_close(found, F.conv2d(X, WEIGHT, bias, stride, padding, dilation))
    assert by_pytorch == 0


@pytest.mark.parametrize(
    ("lanes", "args"),
    [
        (1, (X, WEIGHT[:3, :1], None, 1, 0, 1, 3)),
        (1, (X, WEIGHT, None, 1, "same")),
        (1, (X[0], WEIGHT)),
        (1, (torch.zeros(1, 64, 32, 32), LARGE)),
        (1, (X, WEIGHT.detach())),
        (10_000, (X, WEIGHT)),
        (1, (X.to("meta"), WEIGHT.to("meta"))),
    ],
    ids=["groups", "same", "no batch", "large", "frozen", "many lanes", "another device"],
)
def test_others_are_left_alone(lanes: int, args: tuple[Any, ...]) -> None:
    found, by_pytorch = seen(lanes, *args)
    assert by_pytorch == 1
    assert found.device.type == "meta" or torch.equal(found, F.conv2d(*args))


def test_places_are_kept_of_small_ones_alone() -> None:
    held = small_convolutions._places.cache_info().currsize
    seen(1, torch.zeros(1, 64, 40, 30), LARGE)
    assert small_convolutions._places.cache_info().currsize == held


def test_a_kernel_beyond_the_picture_is_told() -> None:
    with pytest.raises(RuntimeError, match=r"[Kk]ernel size can't be greater"):
        seen(1, X, torch.ones(4, 3, 11, 3, dtype=torch.float64).requires_grad_())


@pytest.mark.parametrize("way", ["mapped", "alone"])
def test_derivatives_of_a_distance_between_gradients(way: str) -> None:
    """First with respect to the weights, then to the picture, as in an attack."""
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3, stride=2, padding=1), nn.Sigmoid(), nn.Conv2d(4, 2, 3, bias=False)
    ).double()
    names = [name for name, _ in model.named_parameters()]
    weights = tuple(p.detach() for p in model.parameters())

    def loss(weights: tuple[Tensor, ...], x: Tensor) -> Tensor:
        given = dict(zip(names, weights, strict=True))
        outputs: Tensor = torch.func.functional_call(model, given, (x[None],))
        return outputs.square().sum()

    def distance(x: Tensor) -> Tensor:
        gradients = torch.func.grad(loss)(weights, x)
        return torch.stack([(g * g).sum() for g in gradients]).sum()

    def computed() -> tuple[Tensor, Tensor]:
        if way == "mapped":
            return vmap(grad_and_value(distance))(X)
        each = [grad_and_value(distance)(x) for x in X]
        return torch.stack([g for g, _ in each]), torch.stack([v for _, v in each])

    plain = computed()
    for _ in range(2):  # what the first one leaves behind serves the second
        with SmallConvolutions(2):
            torch.testing.assert_close(computed(), plain)


def test_other_devices_do_without() -> None:
    points = torch.zeros(2, 3)
    assert isinstance(small_convolutions.small_convolutions(points), SmallConvolutions)
    elsewhere = small_convolutions.small_convolutions(points.to("meta"))
    assert not isinstance(elsewhere, SmallConvolutions)


def test_attacks_use_them(monkeypatch: pytest.MonkeyPatch) -> None:
    lanes, by_pytorch = [], Counting()
    convolution = small_convolutions._convolution

    def noted(count: int, *args: Any, **kwargs: Any) -> Tensor:
        lanes.append(count)
        with by_pytorch:
            return convolution(count, *args, **kwargs)

    monkeypatch.setattr(small_convolutions, "_convolution", noted)
    for count in (1, 2):
        victims = random_victims((3, 8, 8), count=count)
        IDLG(evaluations=2).run(victims.model, victims.observations())
    assert set(lanes) == {1, 2}
    assert by_pytorch.calls == 0
