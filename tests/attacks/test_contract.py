"""What every registered attack keeps to, on all shapes and whatever it knows of the labels.

Attacks that match gradients do so on every model; those that compute may decline, with a reason.
"""

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from fedsim.attacks import Attack, ClosedForm, Observation, Reconstruction, Status
from fedsim.attacks.closed.batches import BatchReading
from fedsim.attacks.matching.attack import GradientMatching
from fedsim.core.registry import ATTACKS
from fedsim.models import MLP, ConvNet, LeNet, ModelSpec, ResNet18, ViT
from fedsim.models.blocks import Imprinted
from fedsim.scoring.metrics.matching import match
from tests.attacks.kinds import ON_PICTURES
from tests.rounding import HALF_OF_THE_DIGITS, assert_same
from tests.victims import Shape, Victims, random_victims

pytestmark = pytest.mark.numeric

BUDGET = 11
SHAPES: list[Shape] = [(1, 8, 8), (3, 8, 8), (3, 6, 10)]

MATCHING = [n for n in ON_PICTURES if issubclass(ATTACKS.get(n), GradientMatching)]
COMPUTING = [n for n in ON_PICTURES if issubclass(ATTACKS.get(n), ClosedForm)]

every_attack = pytest.mark.parametrize("name", MATCHING)
every_closed_form = pytest.mark.parametrize("name", COMPUTING)
every_shape = pytest.mark.parametrize("shape", SHAPES, ids=str)
every_batch_size = pytest.mark.parametrize("batch_size", [1, 2, 3])
every_label_knowledge = pytest.mark.parametrize(
    "labels_known", [True, False], ids=["labels known", "labels unknown"]
)


class Binned(ModelSpec):
    """A dense network behind a layer that sorts pictures by their brightness."""

    def architecture(self, image_shape: tuple[int, int, int], num_classes: int) -> nn.Module:
        numbers = math.prod(image_shape)
        return Imprinted(nn.Sequential(nn.Flatten(), nn.Linear(numbers, num_classes)), numbers, 64)

    def initialise(self, model: nn.Module, generator: torch.Generator) -> None:
        super().initialise(model, generator)
        model.get_parameter("imprint.weight").fill_(
            1 / model.get_parameter("spread.weight").numel()
        )
        model.get_parameter("imprint.bias").copy_(-torch.linspace(0, 0.7, 64))
        model.get_parameter("gather.weight").fill_(0.1)


def solvable(name: str) -> ModelSpec:
    """Return a model on which a closed form is exact."""
    if name == "dense-bins":
        return Binned()
    if name == "april":
        return ViT(patch=2, width=32, depth=1, heads=2)
    return MLP(hidden=(96,), activation="relu")


def make(name: str, **parameters: object) -> Attack:
    """Return an attack that searches from random starts alone, one for each victim."""
    only_search = {"closed_forms": False} if name == "best" else {}
    attack: Attack = ATTACKS.get(name)(
        **{"evaluations": BUDGET, "trials": 1, **only_search, **parameters}
    )
    return attack


def same(one: Reconstruction, other: Reconstruction) -> bool:
    assert one.data is not None
    assert other.data is not None
    return torch.equal(one.data, other.data) and one.objective == other.objective


@dataclass(frozen=True)
class Frozen:
    """A copy of all that a model is made of."""

    state: dict[str, Tensor]
    modes: list[bool]
    requires_grad: list[bool]
    grads: list[Tensor | None]

    @classmethod
    def of(cls, model: nn.Module) -> "Frozen":
        return cls(
            copy.deepcopy(model.state_dict()),
            [m.training for m in model.modules()],
            [p.requires_grad for p in model.parameters()],
            [p.grad for p in model.parameters()],
        )

    def is_still(self, model: nn.Module) -> bool:
        now = Frozen.of(model)
        return (
            all(torch.equal(x, now.state[name]) for name, x in self.state.items())
            and self.modes == now.modes
            and self.requires_grad == now.requires_grad
            and self.grads == now.grads
        )


@every_attack
@every_shape
@every_batch_size
@every_label_knowledge
@pytest.mark.slow
def test_reconstructions(name: str, shape: Shape, batch_size: int, labels_known: bool) -> None:
    victims = random_victims(shape, count=2, batch_size=batch_size)
    observations = victims.observations(labels_known=labels_known)
    found = make(name).run(victims.model, observations)
    assert len(found) == 2
    for reconstruction, labels in zip(found, victims.labels, strict=True):
        check(reconstruction, (batch_size, *shape))
        assert reconstruction.labels is not None
        assert reconstruction.labels.shape == (batch_size,)
        assert not labels_known or torch.equal(reconstruction.labels, labels)


def check(reconstruction: Reconstruction, batch_shape: tuple[int, ...]) -> None:
    data = reconstruction.data
    assert data is not None, reconstruction.error
    assert data.shape == batch_shape
    assert data.min() >= 0
    assert data.max() <= 1
    assert reconstruction.error is None
    assert 0 <= reconstruction.objective < float("inf")
    assert reconstruction.relative_objective >= 0
    assert reconstruction.evaluations <= BUDGET
    check_history(reconstruction)


def check_history(reconstruction: Reconstruction) -> None:
    times = [snapshot.evaluation for snapshot in reconstruction.history]
    values = [snapshot.objective for snapshot in reconstruction.history]
    assert times[0] == 1
    assert times[-1] == reconstruction.evaluations
    assert times == sorted(set(times))
    assert values == sorted(values, reverse=True)
    assert values[-1] == reconstruction.objective
    last = reconstruction.history[-1].data
    assert reconstruction.data is not None
    assert torch.equal(last, reconstruction.data)
    assert all(snapshot.data.shape == last.shape for snapshot in reconstruction.history)


@every_attack
@pytest.mark.slow
def test_one_for_each_in_order(name: str) -> None:
    """Victims of several shapes of batch and label knowledge in one call."""
    parts = {
        (size, known): random_victims((1, 8, 8), count=3, batch_size=size)
        .double()
        .observations(labels_known=known)
        for size in (1, 2)
        for known in (True, False)
    }
    model = random_victims((1, 8, 8), count=1).double().model
    mixed = [parts[key][i] for i in range(3) for key in parts]
    found = make(name).run(model, mixed)
    assert [len(r.labels) for r in found if r.labels is not None] == [1, 1, 2, 2] * 3
    for position, reconstruction in enumerate(found):
        alone: list[Observation] = [broken(mixed[0])] * len(mixed)
        alone[position] = mixed[position]
        [expected] = [r for r in make(name).run(model, alone) if r.data is not None]
        assert_same(reconstruction.data, expected.data)


def broken(observation: Observation) -> Observation:
    return Observation({}, observation.input_shape)


@every_attack
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_nothing_is_touched(name: str, training: bool) -> None:
    """Neither weights nor buffers nor modes, where batches are normalised."""
    plain = random_victims((1, 8, 8), count=2, batch_size=2)
    victims = Victims(normalised(), plain.images, plain.labels)
    victims.model.train(training)
    observations = victims.observations(labels_known=True)
    model, seen = Frozen.of(victims.model), copy.deepcopy(observations)
    torch.manual_seed(5)
    rng = torch.get_rng_state()
    found = make(name, evaluations=2).run(victims.model, observations)
    assert all(r.data is not None for r in found)
    assert torch.equal(torch.get_rng_state(), rng)
    assert model.is_still(victims.model)
    for before, after in zip(seen, observations, strict=True):
        assert before.gradient.keys() == after.gradient.keys()
        assert all(torch.equal(before.gradient[k], after.gradient[k]) for k in before.gradient)
        assert before.labels is not None
        assert after.labels is not None
        assert torch.equal(before.labels, after.labels)


@every_attack
def test_layers_that_are_not_trained(name: str) -> None:
    """A client shares nothing of a frozen layer, and it stays frozen."""
    victims = random_victims((1, 8, 8), count=1)
    next(victims.model.parameters()).requires_grad_(False)
    before = Frozen.of(victims.model)
    observations = victims.observations()
    assert len(observations[0].gradient) == len(list(victims.model.parameters())) - 1
    [found] = make(name).run(victims.model, observations)
    assert found.data is not None, found.error
    assert before.is_still(victims.model)


def normalised() -> nn.Module:
    """Return a network with buffers."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Sigmoid(),
        nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4), nn.Sigmoid(),
        nn.Flatten(), nn.Linear(64, 4),
    )  # fmt: skip


@every_attack
@every_label_knowledge
@pytest.mark.slow
def test_seeds(name: str, labels_known: bool) -> None:
    victims = random_victims((1, 8, 8), count=2)
    observations = victims.observations(labels_known=labels_known)

    def run(seed: int) -> list[Reconstruction]:
        return make(name).run(victims.model, observations, seed=seed)

    first, again, other = run(3), run(3), run(4)
    assert all(same(one, two) for one, two in zip(first, again, strict=True))
    for one, two in zip(first, other, strict=True):
        assert not torch.equal(one.history[0].data, two.history[0].data)
    assert not torch.equal(first[0].history[0].data, first[1].history[0].data)


@every_attack
@pytest.mark.parametrize("trials", [1, 3])
@pytest.mark.slow
def test_chunks_do_not_matter(name: str, trials: int) -> None:
    """After 11 evaluations, down to one lane at a time."""
    victims = random_victims((1, 8, 8), count=3).double()
    observations = victims.observations()
    whole = make(name, trials=trials).run(victims.model, observations)
    for memory_gb in (1e-9, 5e-4):
        parts = make(name, trials=trials, memory_gb=memory_gb).run(victims.model, observations)
        for one, other in zip(whole, parts, strict=True):
            close(one, other)
            assert one.trial == other.trial


def close(one: Reconstruction, other: Reconstruction) -> None:
    assert_same(other.data, one.data)
    assert one.relative_objective == pytest.approx(other.relative_objective, abs=HALF_OF_THE_DIGITS)
    assert one.evaluations == other.evaluations


@every_attack
def test_the_best_trial_by_objective_is_returned(name: str) -> None:
    """Each victim's trials are seen in the progress; which one looks best plays no part."""
    victims = random_victims((1, 8, 8), count=3)
    finals: dict[int, list[float]] = {}

    def note(victim: Tensor, objective: Tensor) -> None:
        finals.clear()
        for v, value in zip(victim.tolist(), objective.tolist(), strict=True):
            finals.setdefault(v, []).append(value)

    found = make(name, trials=4).run(
        victims.model,
        victims.observations(),
        on_progress=lambda p: note(p.victims, p.objective),
    )
    assert any(r.trial > 0 for r in found)
    for v, reconstruction in enumerate(found):
        assert len(finals[v]) == 4
        assert reconstruction.relative_objective == pytest.approx(min(finals[v]), rel=1e-5)
        assert reconstruction.trial == finals[v].index(min(finals[v]))


@every_attack
def test_progress(name: str) -> None:
    victims = random_victims((3, 6, 10), count=3, batch_size=2)
    seen: list[tuple[int, Sequence[int], tuple[int, ...]]] = []
    make(name).run(
        victims.model,
        victims.observations(),
        on_progress=lambda p: seen.append(
            (p.evaluation, p.victims.tolist(), tuple(p.data().shape))
        ),
    )
    assert seen == [(e, [0, 1, 2], (3, 2, 3, 6, 10)) for e in range(1, BUDGET + 1)]


@every_attack
@pytest.mark.parametrize("after", [1, 5])
def test_stopped(name: str, after: int) -> None:
    victims = random_victims((1, 8, 8), count=2)
    asked = iter(range(BUDGET))
    found = make(name).run(
        victims.model, victims.observations(), should_stop=lambda: next(asked) >= after
    )
    assert [r.status for r in found] == [Status.STOPPED] * 2
    assert [r.evaluations for r in found] == [after] * 2
    for reconstruction in found:
        check(reconstruction, (1, 1, 8, 8))


@every_attack
def test_another_precision(name: str) -> None:
    victims = random_victims((1, 8, 8), count=1)
    wide = victims.double()
    [found] = make(name).run(wide.model, wide.observations())
    assert found.data is not None
    assert found.data.dtype == torch.float64


@every_attack
@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({"evaluations": 0}, "greater than or equal to 1"),
        ({"evaluations": 10.5}, "valid integer"),
        ({"trials": 0}, "greater than or equal to 1"),
        ({"start": "black"}, "'grey' or 'normal'"),
        ({"tolerance": -1.0}, "greater than or equal to 0"),
        ({"tolerance": float("inf")}, "finite number"),
        ({"memory_gb": 0.0}, "greater than 0"),
        ({"memory_gb": float("inf")}, "finite number"),
        ({"evaluation": 10}, "evaluation"),
    ],
)
def test_bad_parameters(name: str, parameters: dict[str, object], expected: str) -> None:
    with pytest.raises(ValidationError, match=expected):
        make(name, **parameters)


@every_closed_form
@every_shape
@every_batch_size
@every_label_knowledge
def test_computed_or_declined(name: str, shape: Shape, batch_size: int, labels_known: bool) -> None:
    """Exactly where it applies, and with a reason that says what to do where it does not."""
    victims = random_victims(shape, count=2, batch_size=batch_size, spec=solvable(name))
    observations = victims.observations(labels_known=labels_known)
    for reconstruction, truth in zip(
        ATTACKS.get(name)().run(victims.model, observations), victims.images, strict=True
    ):
        # R-GAP computes batches whose examples differ enough, to single precision's errors, which
        # add up; others it declines.
        by_rgap = name == "rgap" and batch_size > 1
        if batch_size == 1 or name == "spear" or (by_rgap and reconstruction.data is not None):
            check(reconstruction, (batch_size, *shape))
            assert reconstruction.status is Status.COMPUTED
            assert reconstruction.data is not None
            order, error = match(reconstruction.data, truth), 1e-2 if by_rgap else 1e-3
            torch.testing.assert_close(reconstruction.data[order], truth, rtol=0, atol=error)
        elif issubclass(ATTACKS.get(name), BatchReading):  # some of the examples, or all
            check(reconstruction, (batch_size, *shape))
            assert reconstruction.status is Status.COMPUTED
        else:
            assert reconstruction.data is None
            assert "use" in (reconstruction.error or "")


@every_closed_form
@pytest.mark.parametrize(
    "spec",
    [LeNet(), ConvNet(), MLP(), MLP(hidden=()), ViT(), ResNet18(), ResNet18(batch_norm="eval")],
    ids=str,
)
@pytest.mark.parametrize("batch_size", [1, 2])
@pytest.mark.slow
def test_any_model_is_computed_or_declined(name: str, spec: ModelSpec, batch_size: int) -> None:
    victims = random_victims((1, 12, 12), count=2, batch_size=batch_size, spec=spec)
    observations = victims.observations()
    before = Frozen.of(victims.model)
    for reconstruction in quick(name).run(victims.model, observations):
        assert (reconstruction.data is None) == (reconstruction.error is not None)
    assert before.is_still(victims.model)


@every_closed_form
@pytest.mark.parametrize("damage", ["noise", "pruned", "sign", "zero"])
@pytest.mark.parametrize(
    "spec",
    [LeNet(), MLP(hidden=(96,), activation="relu"), ViT(width=12, depth=1, heads=2)],
    ids=str,
)
def test_defended_uploads(name: str, damage: str, spec: ModelSpec) -> None:
    """Something finite that its objective shows to be wrong, or a reason."""
    victims = random_victims((1, 8, 8), count=2, spec=spec)
    damaged = [
        Observation(
            {k: damages(g, damage) for k, g in o.gradient.items()}, o.input_shape, o.batch_size
        )
        for o in victims.observations()
    ]
    for reconstruction in quick(name).run(victims.model, damaged):
        if reconstruction.data is not None:
            check(reconstruction, (1, 1, 8, 8))


def quick(name: str) -> Attack:
    attack: Attack = ATTACKS.get(name)(**({"draws": 5000} if name == "spear" else {}))
    return attack


def damages(gradient: Tensor, damage: str) -> Tensor:
    if damage == "noise":
        noise = torch.randn(gradient.shape, generator=torch.Generator().manual_seed(0))
        return gradient + 0.1 * noise
    if damage == "pruned":
        return torch.where(gradient.abs() > gradient.abs().median(), gradient, 0.0)
    return gradient.sign() if damage == "sign" else torch.zeros_like(gradient)


@every_closed_form
def test_closed_forms_say_what_they_did(name: str) -> None:
    victims = random_victims((1, 6, 6), count=3, spec=solvable(name))
    observations = victims.observations()
    seen: list[int] = []
    attack: Attack = ATTACKS.get(name)()
    attack.run(victims.model, observations, on_progress=lambda p: seen.extend(p.victims.tolist()))
    assert seen == [0, 1, 2]
    stopped = attack.run(victims.model, observations, should_stop=lambda: True)
    assert [r.error for r in stopped] == ["stopped before the first evaluation"] * 3
    [found] = attack.run(victims.model, observations[:1])
    assert found.data is not None
    assert found.labels is not None
    fit = attack.relative_objective_of(victims.model, observations[0], found.data, found.labels)
    assert fit == pytest.approx(found.relative_objective)
    wrong = attack.relative_objective_of(
        victims.model, observations[0], 1 - found.data, found.labels
    )
    assert wrong is not None
    assert wrong > 1e-3


@every_closed_form
def test_closed_forms_do_not_care_who_else_is_there(name: str) -> None:
    victims = random_victims((1, 6, 6), count=3, spec=solvable(name)).double()
    observations = victims.observations()
    attack: Attack = ATTACKS.get(name)()
    together = attack.run(victims.model, observations)
    for position, observation in enumerate(observations):
        assert_same(together[position].data, attack.run(victims.model, [observation])[0].data)
