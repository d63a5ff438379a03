"""Another loss, another range of the data, and models that an attack cannot follow."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from fedsim.attacks import (
    DLG,
    IDLG,
    SPEAR,
    Attack,
    BestOf,
    DenseInversion,
    InvertingGradients,
    Normalisation,
    Observation,
    Reconstruction,
    Status,
)
from fedsim.core.errors import AttackError
from fedsim.core.registry import ATTACKS
from tests.attacks.kinds import ON_PICTURES

FEATURES = 12


def mlp(outputs: int, *, seed: int = 0) -> nn.Module:
    """Return a well-conditioned network: wide, smooth, in double precision."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Linear(FEATURES, 48), nn.Tanh(), nn.Linear(48, 24), nn.Tanh(), nn.Linear(24, outputs)
        ).double()


def draw(*shape: int, seed: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(shape, generator=generator, dtype=torch.float64)


def observed(
    model: nn.Module, inputs: Tensor, target: Tensor, loss: Any = None, **known: Any
) -> Observation:
    """Return what ``loss.backward()`` leaves of a batch."""
    model.zero_grad()
    (loss or F.cross_entropy)(model(inputs), target).backward()
    known |= {} if loss is None else {"loss": loss}
    shape, size = tuple(inputs.shape[1:]), len(inputs)
    return Observation.from_grads(model, input_shape=shape, batch_size=size, **known)


def solved(attack: Attack, model: nn.Module, seen: Observation) -> tuple[Reconstruction, Tensor]:
    [found] = attack.run(model, [seen])
    assert found.error is None
    assert found.data is not None
    return found, found.data


def name_of(attack: Attack) -> str:
    return type(attack).__name__


LOSSES = {
    "mse": (F.mse_loss, draw(1, 3, seed=5)),
    "bce": (F.binary_cross_entropy_with_logits, torch.tensor([[1.0, 0.0, 0.25]]).double()),
    "whole numbers": (F.binary_cross_entropy_with_logits, torch.tensor([[1, 0, 1]])),
}


@pytest.mark.parametrize(("loss", "target"), LOSSES.values(), ids=LOSSES)
@pytest.mark.parametrize(
    "attack", [DLG(evaluations=400), IDLG(evaluations=400), BestOf()], ids=name_of
)
def test_other_losses(attack: Attack, loss: Any, target: Tensor) -> None:
    """With the targets known the data are found, and the targets come back as they were given."""
    model, x = mlp(3), draw(1, FEATURES)
    seen = observed(model, x, target.double(), loss, labels=target)
    found, data = solved(attack, model, seen)
    assert (data - x).abs().max() < 1e-3
    assert found.relative_objective < 1e-6
    assert found.labels is not None
    assert torch.equal(found.labels, target.double())
    truth = attack.relative_objective_of(model, seen, x, target)
    assert truth == pytest.approx(0, abs=1e-15)


def test_a_regression_with_one_output() -> None:
    model, x, target = mlp(1), draw(1, FEATURES), torch.tensor([[0.7]]).double()
    seen = observed(model, x, target, F.mse_loss, labels=target)
    _, data = solved(DenseInversion(), model, seen)
    assert (data - x).abs().max() < 1e-6


def test_classes_reach_another_loss_as_rows() -> None:
    """Label smoothing is a cross-entropy, but not the one that label rules are made for."""

    def smooth(outputs: Tensor, target: Tensor) -> Tensor:
        return F.cross_entropy(outputs, target, label_smoothing=0.1)

    model, x, label = mlp(4), draw(1, FEATURES), torch.tensor([2])
    seen = observed(model, x, label, smooth, labels=label)
    found, data = solved(IDLG(evaluations=400), model, seen)
    assert (data - x).abs().max() < 1e-3
    assert found.labels is not None
    assert found.labels.tolist() == [2]


@pytest.mark.parametrize("name", ["dense", "rgap"])
def test_closed_forms_solve_for_the_target_of_another_loss(name: str) -> None:
    model, x, target = mlp(3), draw(1, FEATURES), draw(1, 3)
    seen = observed(model, x, target, F.mse_loss)
    [found] = ATTACKS.get(name)().run(model, [seen])
    assert found.status is Status.COMPUTED
    assert found.data is not None
    assert (found.data - x).abs().max() < 1e-4


@pytest.mark.parametrize("name", ["idlg", "inverting-gradients", "gradinversion"])
def test_label_rules_refuse_another_loss(name: str) -> None:
    model, x, target = mlp(3), draw(1, FEATURES), draw(1, 3)
    seen = observed(model, x, target, F.mse_loss)
    [found] = ATTACKS.get(name)().run(model, [seen])
    assert found.status is Status.FAILED
    assert "mean cross-entropy" in str(found.error)
    assert "give the labels" in str(found.error)


def test_spear_refuses_another_loss() -> None:
    model, x, target = mlp(3), draw(2, FEATURES), draw(2, 3)
    seen = observed(model, x, target, F.mse_loss, labels=target)
    [found] = SPEAR().run(model, [seen])
    assert "another loss" in str(found.error)


def test_unknown_targets_are_searched_among_all_numbers() -> None:
    model, x = mlp(3), draw(1, FEATURES)
    target = torch.tensor([[0.0, 1.0, 0.0]]).double()
    seen = observed(model, x, target, F.mse_loss)
    found, _ = solved(DLG(evaluations=400), model, seen)
    assert found.relative_objective < 1e-4
    assert found.labels is not None
    assert (found.labels - target).abs().max() < 1e-3


@pytest.mark.parametrize("name", ON_PICTURES)
def test_one_output_is_not_a_classifier(name: str) -> None:
    model, x = mlp(1), draw(1, FEATURES)
    seen = observed(model, x, torch.tensor([0]))
    [found] = ATTACKS.get(name)().run(model, [seen])
    assert found.status is Status.FAILED
    assert str(found.error).startswith("one output: not a classifier")


@pytest.mark.parametrize("attack", [IDLG(evaluations=400), DenseInversion(), BestOf()], ids=name_of)
def test_standardised_features(attack: Attack) -> None:
    model, x = mlp(3), -2.7 + 6.4 * draw(1, FEATURES)
    seen = observed(model, x, torch.tensor([1]), value_range=(-2.7, 3.7))
    found, data = solved(attack, model, seen)
    assert (data - x).abs().max() < 1e-3
    assert found.relative_objective < 1e-6
    assert attack.relative_objective_of(model, seen, data, torch.tensor([1])) == pytest.approx(
        found.relative_objective, abs=1e-12
    )


def test_a_range_for_each_feature() -> None:
    model = mlp(3)
    low, high = torch.linspace(-3, 0, FEATURES), torch.linspace(1, 9, FEATURES)
    x = low + (high - low) * draw(1, FEATURES)
    seen = observed(model, x, torch.tensor([1]), value_range=(low, high))
    _, data = solved(InvertingGradients(evaluations=30), model, seen)
    assert bool(((data >= low - 1e-9) & (data <= high + 1e-9)).all())
    _, data = solved(IDLG(evaluations=600), model, seen)
    assert (data - x).abs().max() < 1e-2


def convolution() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1), nn.Sigmoid(), nn.Flatten(), nn.Linear(8 * 36, 5)
        ).double()


@pytest.mark.parametrize("attack", [IDLG(evaluations=500), BestOf(evaluations=500)], ids=name_of)
def test_normalised_pictures_come_back_as_pictures(attack: Attack) -> None:
    mean, std = (0.49, 0.48, 0.45), (0.25, 0.24, 0.26)
    model, pictures = convolution(), draw(1, 3, 6, 6)
    shaped = [torch.tensor(t, dtype=torch.float64).view(3, 1, 1) for t in (mean, std)]
    inputs = (pictures - shaped[0]) / shaped[1]
    seen = observed(model, inputs, torch.tensor([3]), normalisation=Normalisation(mean, std))
    shown: list[Tensor] = []
    [found] = attack.run(model, [seen], on_progress=lambda p: shown.append(p.data()))
    assert found.data is not None
    assert (found.data - pictures).abs().max() < 1e-2
    every = [*shown, *(s.data for s in found.history)]
    assert all(0 <= float(t.min()) <= float(t.max()) <= 1 for t in every)
    assert attack.relative_objective_of(model, seen, pictures, torch.tensor([3])) == pytest.approx(
        0, abs=1e-15
    )


def test_data_outside_the_range_are_not_called_converged() -> None:
    """What is reported is the objective of what is returned."""
    model, x = mlp(3), 4 * draw(1, FEATURES) - 2
    seen = observed(model, x, torch.tensor([1]))
    found, data = solved(IDLG(evaluations=600), model, seen)
    assert found.status is Status.CLAMPED
    assert 0 <= float(data.min()) <= float(data.max()) <= 1
    assert found.relative_objective > 1e-3
    assert found.labels is not None
    again = IDLG().relative_objective_of(model, seen, data, found.labels)
    assert again == pytest.approx(found.relative_objective)
    assert found.history[-1].objective == found.objective


WRONG = {
    "upside down": ({"value_range": (1.0, 0.0)}, "the second above the first"),
    "infinite": ({"value_range": (0.0, float("inf"))}, "expected finite values"),
    "channels": ({"value_range": (torch.zeros(5), torch.ones(5))}, "examples of shape (12,)"),
    "std": ({"normalisation": Normalisation(0.5, 0.0)}, "a positive std"),
}


@pytest.mark.parametrize(("known", "reason"), WRONG.values(), ids=WRONG)
def test_wrong_ranges(known: dict[str, Any], reason: str) -> None:
    model, x = mlp(3), draw(1, FEATURES)
    good = observed(model, x, torch.tensor([1]))
    bad, fine = IDLG(evaluations=3).run(model, [replace(good, **known), good])
    assert reason in str(bad.error)
    assert fine.error is None


def test_victims_of_different_assumptions_go_together() -> None:
    model, x, label = mlp(3), draw(1, FEATURES), torch.tensor([1])
    wide = -1 + 3 * x
    observations = [
        observed(model, x, label),
        observed(model, wide, label, value_range=(-1, 2)),
        observed(model, x, draw(1, 3), F.mse_loss, labels=draw(1, 3)),
    ]
    found = IDLG(evaluations=400).run(model, observations)
    for result, truth in zip(found, (x, wide, x), strict=True):
        assert result.data is not None
        assert (result.data - truth).abs().max() < 1e-3


def test_from_grads_is_the_explicit_construction() -> None:
    model, x, label = mlp(3), draw(2, FEATURES), torch.tensor([1, 0])
    seen = observed(model, x, label, labels=label)
    named = dict(model.named_parameters())
    expected = torch.autograd.grad(F.cross_entropy(model(x), label), list(named.values()))
    assert seen.gradient.keys() == named.keys()
    for own, other in zip(seen.gradient.values(), expected, strict=True):
        torch.testing.assert_close(own, other)
    assert (seen.input_shape, seen.batch_size) == ((FEATURES,), 2)
    assert seen.labels is label
    model.zero_grad()
    assert all(bool(g.abs().sum() > 0) for g in seen.gradient.values())


def test_from_grads_needs_gradients() -> None:
    model = mlp(3)
    with pytest.raises(AttackError, match=r"'0.weight' has no gradient: expected a model after"):
        Observation.from_grads(model, input_shape=(FEATURES,))
    model.requires_grad_(False)
    assert Observation.from_grads(model, input_shape=(FEATURES,)).gradient == {}


class Wrapped(nn.Module):
    """A model that returns its logits inside something else."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind, self.inner = kind, mlp(3)

    def forward(self, x: Tensor) -> Any:
        logits = self.inner(x)
        made = {"dict": {"logits": logits}, "tuple": (logits,)}
        return made.get(self.kind, SimpleNamespace(logits=logits))


class Attention(nn.Module):
    """Fused attention, which has no second derivative."""

    def __init__(self) -> None:
        super().__init__()
        self.project, self.head = nn.Linear(4, 48), nn.Linear(48, 3)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.project(x.view(len(x), 3, 4)).view(len(x), 3, 3, 4, 4).unbind(2)
        mixed: Tensor = F.scaled_dot_product_attention(q, k, v)
        out: Tensor = self.head(torch.cat([mixed.flatten(2)] * 3, 1).flatten(1)[:, :48])
        return out


@pytest.mark.parametrize("attack", [DLG(evaluations=3), BestOf(evaluations=3)], ids=name_of)
@pytest.mark.parametrize("kind", ["dict", "tuple", "SimpleNamespace"])
def test_outputs_that_are_not_tensors(attack: Attack, kind: str) -> None:
    model, x = Wrapped(kind), draw(1, FEATURES)
    seen = observed(model.inner, x, torch.tensor([1]))
    seen = replace(seen, gradient={f"inner.{k}": g for k, g in seen.gradient.items()})
    [found] = attack.run(model, [seen])
    assert found.status is Status.FAILED
    assert f"returns a {kind}: expected a tensor of logits" in str(found.error)


@pytest.mark.filterwarnings("ignore:There is a performance drop:UserWarning")
def test_attention_without_a_second_derivative() -> None:
    model, x = Attention(), draw(1, FEATURES).float()
    seen = observed(model, x, torch.tensor([1]))
    [found] = DLG(evaluations=3).run(model, [seen])
    assert found.status is Status.FAILED
    assert "without a second derivative" in str(found.error)
    assert "eager" in str(found.error)


def test_examples_of_another_shape() -> None:
    model, x = mlp(3), draw(1, FEATURES)
    seen = replace(observed(model, x, torch.tensor([1])), input_shape=(7,))
    [found] = DLG(evaluations=3).run(model, [seen])
    assert "cannot be evaluated on examples of shape (7,)" in str(found.error)
