"""An observation that cannot be attacked fails with a reason, and the others go on."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from fedsim.attacks import Attack, Observation, Status
from fedsim.attacks.matching.attack import GradientMatching
from fedsim.core.registry import ATTACKS
from fedsim.models import MLP, ModelSpec, ViT
from fedsim.models.base import ImageShape
from tests.attacks.kinds import ON_PICTURES
from tests.rounding import assert_same
from tests.victims import random_victims

pytestmark = pytest.mark.numeric

Spoil = Callable[[Observation], Observation]


def with_tensor(name: str, tensor: Tensor) -> Spoil:
    return lambda seen: replace(seen, gradient={**seen.gradient, name: tensor})


def without(name: str) -> Spoil:
    return lambda seen: replace(
        seen, gradient={key: g for key, g in seen.gradient.items() if key != name}
    )


def with_labels(*labels: float) -> Spoil:
    return lambda seen: replace(seen, labels=torch.tensor(labels))


SPOILT: dict[str, tuple[Spoil, str]] = {
    "missing tensor": (without("head.bias"), "'head.bias' is missing"),
    "empty upload": (
        lambda seen: replace(seen, gradient={}),
        "'(dense1|patches).weight' is missing",
    ),
    "wrong shape": (
        with_tensor("head.bias", torch.zeros(5)),
        r"'head.bias' has shape \(5,\), expected \(4,\)",
    ),
    "NaN": (with_tensor("head.bias", torch.tensor([0, 1, torch.nan, 0])), "'head.bias' holds NaN"),
    "infinity": (with_tensor("head.bias", torch.tensor([0, 1, torch.inf, 0])), "infinite"),
    "overflow": (
        with_tensor("head.bias", torch.full((4,), 1e200, dtype=torch.float64)),
        "not finite",
    ),
    "no example": (lambda seen: replace(seen, batch_size=0), "batch size 0: expected at least 1"),
    "too many labels": (with_labels(0, 1), r"labels have shape \(2,\), expected \(1,\)"),
    "too few labels": (with_labels(), r"labels have shape \(0,\), expected \(1,\)"),
    "fractional labels": (with_labels(0.5), "torch.float32, expected whole numbers"),
    "label of no class": (with_labels(4), "labels from 4 to 4: expected 0 to 3"),
    "negative label": (with_labels(-1), "labels from -1 to -1: expected 0 to 3"),
}

every_attack = pytest.mark.parametrize("name", ON_PICTURES)


def make(name: str) -> Attack:
    """Return an attack with little to do."""
    little = issubclass(ATTACKS.get(name), GradientMatching)
    attack: Attack = ATTACKS.get(name)(**({"evaluations": 5} if little else {}))
    return attack


class WithBins(MLP):
    """A network whose dense layer measures brightness, as an imprint layer does."""

    def build(self, image_shape: ImageShape, num_classes: int, seed: int) -> nn.Module:
        model = super().build(image_shape, num_classes, seed)
        layer, head = model.get_submodule("dense1"), model.get_submodule("head")
        weight, bias = layer.get_parameter("weight"), layer.get_parameter("bias")
        after = head.get_parameter("weight")
        with torch.no_grad():
            weight.fill_(1 / weight.shape[1])
            bias.copy_(-torch.linspace(0.2, 0.8, len(bias)))
            after.copy_(after[:, :1].expand_as(after))
        return model


class Fishing(MLP):
    """A network whose last layer depends on the input in one row alone."""

    def build(self, image_shape: ImageShape, num_classes: int, seed: int) -> nn.Module:
        model = super().build(image_shape, num_classes, seed)
        with torch.no_grad():
            model.get_submodule("head").get_parameter("weight")[1:] = 0
        return model


def suited(name: str) -> ModelSpec:
    """Return a network that an attack can do something with.

    APRIL needs a position embedding, bins need equal rows, and what is fished one row.
    """
    if name == "fished":
        return Fishing(hidden=(40,), activation="relu")
    if name == "dense-bins":
        return WithBins(hidden=(40,), activation="relu")
    if name == "april":
        return ViT(patch=2, width=8, depth=1, heads=1)
    return MLP(hidden=(40,), activation="relu")


@every_attack
@pytest.mark.parametrize(("spoil", "reason"), SPOILT.values(), ids=SPOILT)
@pytest.mark.slow
def test_a_bad_observation_fails_alone(name: str, spoil: Spoil, reason: str) -> None:
    """On a network that every attack can do something with."""
    victims = random_victims((1, 4, 4), count=3, spec=suited(name)).double()
    good = victims.observations()
    observations = [good[0], spoil(good[1]), good[2]]
    first, bad, last = make(name).run(victims.model, observations)
    assert bad.status is Status.FAILED
    assert bad.data is bad.labels is None
    with pytest.raises(RuntimeError, match=reason):
        raise RuntimeError(bad.error)
    for found, expected in zip(
        (first, last), make(name).run(victims.model, good)[::2], strict=True
    ):
        assert found.error is None
        assert_same(found.data, expected.data)


@every_attack
def test_nothing_is_made_of_an_upload_beyond_all_numbers(name: str) -> None:
    """However often it is tried."""
    victims = random_victims((1, 8, 8), count=1)
    [seen] = victims.observations()
    huge = with_tensor("head.bias", torch.full((4,), 1e30))(seen)
    [found] = make(name).run(victims.model, [huge])
    assert found.status is Status.FAILED


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32, torch.int64], ids=str)
@every_attack
def test_labels_of_any_whole_type(name: str, dtype: torch.dtype) -> None:
    victims = random_victims((1, 4, 4), count=1, spec=suited(name))
    [seen] = victims.observations(labels_known=True)
    assert seen.labels is not None
    [found] = make(name).run(victims.model, [replace(seen, labels=seen.labels.to(dtype))])
    assert found.labels is not None
    assert found.labels.tolist() == seen.labels.tolist()
