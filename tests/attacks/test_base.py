"""An observation that cannot be attacked fails with a reason, and the others go on."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from attacks import Attack, Observation, Reconstruction, Status
from fedsim.registry import ATTACKS
from tests.victims import random_victims

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
    "missing tensor": (without("conv2.bias"), "'conv2.bias' is missing"),
    "empty upload": (lambda seen: replace(seen, gradient={}), "'conv1.weight' is missing"),
    "wrong shape": (
        with_tensor("head.bias", torch.zeros(5)),
        r"'head.bias' has shape \(5,\), expected \(4,\)",
    ),
    "NaN": (with_tensor("head.bias", torch.tensor([0, 1, torch.nan, 0])), "'head.bias' holds NaN"),
    "infinity": (with_tensor("head.bias", torch.tensor([0, 1, torch.inf, 0])), "infinite"),
    "overflow": (with_tensor("head.bias", torch.full((4,), 1e30)), "not finite at the start"),
    "no example": (lambda seen: replace(seen, batch_size=0), "batch size 0: expected at least 1"),
    "too many labels": (with_labels(0, 1, 2), r"labels have shape \(3,\), expected \(2,\)"),
    "too few labels": (with_labels(0), r"labels have shape \(1,\), expected \(2,\)"),
    "fractional labels": (with_labels(0.5, 1), "torch.float32, expected whole numbers"),
    "label of no class": (with_labels(0, 4), "labels from 0 to 4: expected 0 to 3"),
    "negative label": (with_labels(-1, 2), "labels from -1 to 2: expected 0 to 3"),
}

every_attack = pytest.mark.parametrize("name", ATTACKS.names())


def run(name: str, observations: list[Observation]) -> list[Reconstruction]:
    attack: Attack = ATTACKS.get(name)(evaluations=5)
    return attack.run(random_victims((1, 8, 8), count=1).model, observations)


@every_attack
@pytest.mark.parametrize(("spoil", "reason"), SPOILT.values(), ids=SPOILT)
def test_a_bad_observation_fails_alone(name: str, spoil: Spoil, reason: str) -> None:
    good = random_victims((1, 8, 8), count=3, batch_size=2).observations()
    first, bad, last = run(name, [good[0], spoil(good[1]), good[2]])
    assert bad.status is Status.FAILED
    assert bad.data is bad.labels is None
    with pytest.raises(RuntimeError, match=reason):
        raise RuntimeError(bad.error)
    for position, found in ((0, first), (2, last)):
        expected = run(name, good)[position]
        assert found.error is None
        torch.testing.assert_close(found.data, expected.data, rtol=0, atol=1e-4)


@every_attack
def test_a_failed_trial_loses_to_any_other(name: str) -> None:
    """Every trial on an upload beyond all numbers fails, and with them the victim."""
    [seen] = random_victims((1, 8, 8), count=1).observations()
    attack: Attack = ATTACKS.get(name)(evaluations=5, trials=3)
    huge = with_tensor("head.bias", torch.full((4,), 1e30))(seen)
    [found] = attack.run(random_victims((1, 8, 8), count=1).model, [huge])
    assert found.status is Status.FAILED


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32, torch.int64], ids=str)
@every_attack
def test_labels_of_any_whole_type(name: str, dtype: torch.dtype) -> None:
    [seen] = random_victims((1, 8, 8), count=1).observations(labels_known=True)
    assert seen.labels is not None
    [found] = run(name, [replace(seen, labels=seen.labels.to(dtype))])
    assert found.labels is not None
    assert found.labels.tolist() == seen.labels.tolist()
