"""Recorded functions give what the functions give, or are not recorded."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.func import grad_and_value, vmap

from fedsim.attacks import Attack, Reconstruction
from fedsim.attacks.local_training import LocalTraining
from fedsim.attacks.matching import tape
from fedsim.attacks.matching.tape import Replaying, taped
from fedsim.models import LeNet, ModelSpec, ViT
from tests.attacks.test_contract import MATCHING, make
from tests.victims import random_victims

pytestmark = pytest.mark.numeric

WEIGHTS = torch.rand(3, 4, generator=torch.Generator().manual_seed(0))
X = torch.rand(2, 4, generator=torch.Generator().manual_seed(1))
Y = torch.rand(2, 4, generator=torch.Generator().manual_seed(2))


def smooth(x: Tensor) -> Tensor:
    return torch.sigmoid(x @ WEIGHTS.T).square().sum()


def with_autograd(x: Tensor) -> Tensor:
    x = x.detach().requires_grad_()
    (first,) = torch.autograd.grad(smooth(x), x, create_graph=True)
    (second,) = torch.autograd.grad(first.square().sum(), x)
    return second


def filled(x: Tensor) -> Tensor:
    own = torch.zeros_like(x)
    own[:, 1] = x[:, 0]
    own.mul_(3)
    return own + x


@pytest.mark.parametrize(
    "function",
    [
        smooth,
        with_autograd,
        filled,
        vmap(grad_and_value(smooth)),
        lambda x: x,
        lambda x: (x.sum(),),
    ],
)
def test_gives_what_the_function_gives(function: Callable[[Tensor], object]) -> None:
    replay = taped(function, [X])
    assert replay is not None
    for x in (X, Y):
        torch.testing.assert_close(replay(x), function(x), rtol=0, atol=0)
    assert not any(t.requires_grad for t in torch.utils._pytree.tree_leaves(replay(X)))


def changes_weights(x: Tensor) -> Tensor:
    WEIGHTS.add_(0)
    return x @ WEIGHTS.T


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x * float(x.sum()),
        lambda x: x if bool(x.sum() > 1) else -x,
        lambda x: x + torch.randn(x.shape),
        lambda x: x[x > 0.5],
        lambda x: x * torch.from_numpy(x.detach().numpy().copy()),  # past what can be recorded
        lambda x: x.mul_(1),
        changes_weights,
    ],
    ids=["value", "branch", "random", "choice", "numpy", "own input", "weights"],
)
def test_what_cannot_be_repeated_is_not(function: Callable[[Tensor], Tensor]) -> None:
    assert taped(function, [X.clone()]) is None


def test_weights_are_read_again() -> None:
    weights = torch.ones(4)
    replay = taped(lambda x: x * weights, [X])
    weights.mul_(2)
    assert replay is not None
    assert torch.equal(replay(X), 2 * X)


def test_is_recorded_after_many_calls_of_the_same_shape(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tape, "AFTER", 3)
    calls = []

    def function(x: Tensor) -> Tensor:
        calls.append(len(x))
        return 2 * x

    replaying = Replaying(function)
    for _ in range(10):
        assert torch.equal(replaying(X), 2 * X)
    assert len(calls) == 4  # two as they are, one to record, one to compare
    assert torch.equal(replaying(X[:1]), 2 * X[:1])
    assert calls[4:] == [1]


def reconstructed(attack: Attack, spec: ModelSpec, *, steps: int) -> list[Reconstruction]:
    victims = random_victims((3, 8, 8), count=2, batch_size=2, spec=spec)
    seen = victims.observations(labels_known=True)
    if steps > 1:
        training = LocalTraining(steps=steps, batch_size=1, learning_rate=0.01)
        seen = [replace(o, training=training) for o in seen]
    return attack.run(victims.model, seen, seed=0)


TRANSFORMER = ViT(patch=4, width=8, depth=1, heads=2)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "spec", "steps"),
    [
        *((name, LeNet(), 1) for name in MATCHING),
        *(pytest.param(name, TRANSFORMER, 1, marks=pytest.mark.slow) for name in MATCHING),
        ("idlg", LeNet(), 2),
        ("surrogate", LeNet(), 2),
    ],
    ids=str,
)
def test_attacks_find_the_same(
    monkeypatch: pytest.MonkeyPatch, name: str, spec: ModelSpec, steps: int
) -> None:
    recorded: list[bool] = []

    def counted(function: Callable[..., object], inputs: list[Tensor]) -> object:
        replay = taped(function, inputs)
        recorded.append(replay is not None)
        return replay

    monkeypatch.setattr(tape, "taped", counted)
    plain = reconstructed(make(name), spec, steps=steps)
    assert not recorded
    monkeypatch.setattr(tape, "AFTER", 2)
    replayed = reconstructed(make(name), spec, steps=steps)
    assert recorded
    assert all(recorded)
    for one, other in zip(plain, replayed, strict=True):
        assert one.status is other.status
        assert one.objective == other.objective
        if one.data is not None:
            assert torch.equal(one.data, other.data)
