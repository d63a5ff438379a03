"""Recorded functions give what the functions give, or are not recorded."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor, fx
from torch.func import grad_and_value, vmap

from fedsim.attacks import DLG, Attack, Reconstruction
from fedsim.attacks.local_training import LocalTraining
from fedsim.attacks.matching import tape
from fedsim.attacks.matching.objectives import GaussianLikelihood
from fedsim.attacks.matching.priors.denoiser import Denoiser
from fedsim.attacks.matching.priors.learned import Learned
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


def overwritten(x: Tensor) -> Tensor:
    own = torch.empty_like(x)
    view = own.T
    own.fill_(2)
    view[1:].sub_(x.T[:-1])
    return own[:, 1:] * view.T[:, :-1]


def seen_otherwise(x: Tensor) -> tuple[Tensor, ...]:
    own = 2 * x
    first, second = own.view(torch.int32).float().mean(), own.T.reshape(-1)[::3]
    return first, second, own.unsqueeze(1).expand(-1, 3, -1), own[1].view(2, 2).T @ own[0, :2]


def several(x: Tensor) -> Tensor:
    own = [2 * x, x.exp()]
    torch._foreach_mul_(own, 3)
    return own[0] + own[1]


def operations(replay: Callable[..., object]) -> list[str]:
    """Return the names of what a tape does."""
    held = [cell.cell_contents for cell in replay.__closure__ or ()]
    [module] = [one for one in held if isinstance(one, fx.GraphModule)]
    done = [node for node in module.graph.nodes if node.op in ("call_function", "call_method")]
    return [getattr(node.target, "__name__", str(node.target)) for node in done]


@pytest.mark.parametrize(
    "function",
    [
        smooth,
        with_autograd,
        filled,
        overwritten,
        seen_otherwise,
        several,
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


def fills_weights(x: Tensor) -> Tensor:
    torch.mul(WEIGHTS, 1, out=WEIGHTS)
    return x @ WEIGHTS.T


def changes_several_weights(x: Tensor) -> Tensor:
    torch._foreach_add_([WEIGHTS], 0)
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
        fills_weights,
        changes_several_weights,
    ],
    ids=["value", "branch", "random", "choice", "numpy", "own input", "weights", "out", "several"],
)
def test_what_cannot_be_repeated_is_not(function: Callable[[Tensor], Tensor]) -> None:
    assert taped(function, [X.clone()]) is None


def test_views_are_not_repeated() -> None:
    def turned(x: Tensor) -> Tensor:
        y = x.exp()
        for _ in range(10):
            y = y.T.unsqueeze(0).squeeze(0).view(y.shape[1], y.shape[0])
        return y.view(-1)[1:] * 2

    replay = taped(turned, [X])
    assert replay is not None
    assert torch.equal(replay(Y), turned(Y))
    assert operations(replay) == ["exp", "as_strided", "mul"]


def test_what_is_not_used_is_not_repeated() -> None:
    def wasteful(x: Tensor) -> Tensor:
        (x @ x.T).exp()
        return 2 * x

    replay = taped(wasteful, [X])
    assert replay is not None
    assert operations(replay) == ["mul"]


def test_is_recorded_anew_for_another_layout(monkeypatch: pytest.MonkeyPatch) -> None:
    record_after(1, monkeypatch)
    replaying = Replaying(lambda x: (2 * x).view(-1) if x.is_contiguous() else (2 * x).T)
    square = X @ X.T + torch.tensor([[0.0, 1.0], [0.0, 0.0]])
    assert torch.equal(replaying(square), 2 * square.view(-1))
    assert torch.equal(replaying(square.T), 2 * square)


def test_weights_are_read_again() -> None:
    weights = torch.ones(4)
    replay = taped(lambda x: x * weights.view(2, 2).T.reshape(-1) * weights[None], [X])
    weights.mul_(2)
    assert replay is not None
    assert torch.equal(replay(X), 4 * X)


def test_weights_that_are_seen_otherwise_are_read_again() -> None:
    weights = torch.ones(2, 4)
    replay = taped(lambda x: x @ weights.T.contiguous() @ weights.T.T, [X])
    assert replay is not None
    weights.mul_(2)
    torch.testing.assert_close(replay(X), 4 * X @ torch.ones(4, 2) @ torch.ones(2, 4))
    assert operations(replay) == ["clone.default", "mm", "mm"]


def record_after(calls: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tape, "SOON", calls)
    monkeypatch.setattr(tape, "LATE", calls)


def test_is_recorded_after_some_calls_of_the_same_shape() -> None:
    calls = []

    def function(x: Tensor) -> Tensor:
        calls.append(len(x))
        return 2 * x

    replaying = Replaying(function)

    def computed(x: Tensor, times: int) -> int:
        """Return how often the function is called for a number of calls."""
        before = len(calls)
        for _ in range(times):
            assert torch.equal(replaying(x), 2 * x)
        return len(calls) - before

    soon, late = tape.SOON + 1, tape.LATE + 1  # one of which to record, and one to compare
    assert computed(X, 100) == soon
    assert computed(X[:1], 10) == soon  # the shape before lasted
    assert computed(X, 10) == 10  # it did not
    assert computed(X[:1], 100) == late
    assert computed(X, 100) == soon


def reconstructed(attack: Attack, spec: ModelSpec, *, steps: int) -> list[Reconstruction]:
    victims = random_victims((3, 8, 8), count=2, batch_size=2, spec=spec)
    seen = victims.observations(labels_known=True)
    if steps > 1:
        training = LocalTraining(steps=steps, batch_size=1, learning_rate=0.01)
        seen = [replace(o, training=training) for o in seen]
    return attack.run(victims.model, seen, seed=0)


def noted(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Return a list to which each recording adds whether it can be repeated."""
    recorded: list[bool] = []

    def counted(function: Callable[..., object], inputs: list[Tensor]) -> object:
        replay = taped(function, inputs)
        recorded.append(replay is not None)
        return replay

    monkeypatch.setattr(tape, "taped", counted)
    return recorded


def test_a_learned_prior_is_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    victims = random_victims((1, 8, 8), count=2)
    generator = torch.Generator().manual_seed(0)
    denoiser = Denoiser(torch.rand(4, 1, 8, 8, generator=generator), generator)
    prior = Learned(denoiser, noise_std=0.1, typical=1.0)
    attack = DLG(evaluations=4, objective=GaussianLikelihood(0.1), priors=(prior,))
    record_after(1000, monkeypatch)
    plain = attack.run(victims.model, victims.observations())
    recorded = noted(monkeypatch)
    record_after(2, monkeypatch)
    replayed = attack.run(victims.model, victims.observations())
    assert recorded == [True]
    for one, other in zip(plain, replayed, strict=True):
        torch.testing.assert_close(one.data, other.data)


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
    recorded = noted(monkeypatch)
    record_after(1000, monkeypatch)
    plain = reconstructed(make(name), spec, steps=steps)
    assert not recorded
    record_after(2, monkeypatch)
    replayed = reconstructed(make(name), spec, steps=steps)
    assert recorded
    assert all(recorded)
    for one, other in zip(plain, replayed, strict=True):
        assert one.status is other.status
        assert one.objective == other.objective
        if one.data is not None:
            assert torch.equal(one.data, other.data)
