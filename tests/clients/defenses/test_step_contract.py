"""What every defense keeps to that changes a step's batch or its gradient."""

import copy
from dataclasses import dataclass
from typing import Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812  (the name that everybody knows)
from pydantic import ValidationError
from torch import Tensor, nn

from fedsim.clients.defenses import Computed, DefendedSteps, Defense, Private
from fedsim.clients.training import differentiate
from fedsim.core.errors import ScenarioError
from fedsim.core.registry import DEFENSES
from fedsim.models import MLP, ConvNet, LeNet, ModelSpec, ResNet18
from tests.clients.defenses.test_contract import STEPS

pytestmark = pytest.mark.numeric

SHAPE, CLASSES = (1, 8, 8), 5
BATCHES = {"mixup", "instahide", "transform-search"}
GRADIENTS = {"dp-sgd", "soteria"}
SPECS: dict[str, ModelSpec] = {
    "lenet": LeNet(),
    "convnet": ConvNet(channels=(4, 8)),
    "mlp": MLP(hidden=(6,)),
    "resnet18": ResNet18(batch_norm="eval"),
}

every_defense = pytest.mark.parametrize("name", sorted(BATCHES | GRADIENTS))
every_model = pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
hard_and_soft = pytest.mark.parametrize("soft", [False, True], ids=["hard", "soft"])


@dataclass(frozen=True, eq=False)
class Step:
    """What a step of a defended client yields."""

    inputs: Tensor
    labels: Tensor
    computed: Computed


def make(name: str, strengths: dict[str, dict[str, Any]] = STEPS) -> Defense:
    defense: Defense = DEFENSES.get(name)(**strengths[name])
    return defense


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def batch_of(size: int, soft: bool) -> tuple[Tensor, Tensor]:
    rng = generator(1)
    images = torch.rand(size, *SHAPE, generator=rng)
    if soft:
        return images, torch.rand(size, CLASSES, generator=rng).softmax(-1)
    return images, torch.randint(CLASSES, (size,), generator=rng)


def step(defense: Defense, spec: ModelSpec, batch: tuple[Tensor, Tensor], seed: int = 0) -> Step:
    model, rng = spec.build(SHAPE, CLASSES, seed=3), generator(seed)

    def draw(count: int) -> tuple[Tensor, Tensor]:
        labels = torch.randint(CLASSES, (count,), generator=rng)
        return torch.rand(count, *SHAPE, generator=rng), labels

    private = Private(draw, CLASSES, model)
    before = copy.deepcopy(model.state_dict())
    steps = DefendedSteps([defense], private, rng, differentiate)
    images, labels = steps.protect(batch)
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())
    return Step(images, labels, steps.compute(model, (images, labels)))


def same(one: Step, other: Step) -> bool:
    ours, theirs = one.computed.gradients, other.computed.gradients
    return (
        torch.equal(one.inputs, other.inputs)
        and torch.equal(one.labels, other.labels)
        and ours.keys() == theirs.keys()
        and all(torch.equal(ours[k], theirs[k]) for k in ours)
    )


@every_defense
@pytest.mark.parametrize(
    ("model", "size", "soft"), [("lenet", 3, True), ("mlp", 1, False), ("convnet", 3, False)]
)
def test_gradients_and_images_are_as_many_and_as_large_as_before(
    name: str, model: str, size: int, soft: bool
) -> None:
    spec, batch = SPECS[model], batch_of(size, soft)
    done = step(make(name), spec, batch)
    assert done.inputs.shape == batch[0].shape
    assert done.inputs.dtype == batch[0].dtype
    assert 0 <= float(done.inputs.min()) <= float(done.inputs.max()) <= 1 + 1e-6
    mixes = name in {"mixup", "instahide"}
    assert done.labels.shape == ((size, CLASSES) if soft or mixes else (size,))
    if done.labels.ndim == 2:
        torch.testing.assert_close(done.labels.sum(1), torch.ones(size))
    network = spec.build(SHAPE, CLASSES, seed=3)
    shapes = {k: p.shape for k, p in network.named_parameters()}
    found = done.computed.gradients
    assert {k: g.shape for k, g in found.items()} == shapes
    assert all(bool(g.isfinite().all()) and not g.requires_grad for g in found.values())
    expected = F.cross_entropy(network(done.inputs), done.labels)
    assert done.computed.loss == pytest.approx(float(expected.detach()), rel=1e-4)


@every_defense
@hard_and_soft
def test_input_and_global_randomness_are_untouched(name: str, soft: bool) -> None:
    batch = batch_of(2, soft)
    state = torch.get_rng_state()
    step(make(name), SPECS["lenet"], batch)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(a, b) for a, b in zip(batch, batch_of(2, soft), strict=True))
    assert not batch[0].requires_grad
    assert batch[0].grad is None


@every_defense
def test_the_seed_alone_decides(name: str) -> None:
    batch, defense = batch_of(2, soft=False), make(name)
    torch.manual_seed(1)
    first = step(defense, SPECS["lenet"], batch)
    torch.manual_seed(2)
    assert same(step(defense, SPECS["lenet"], batch), first)
    assert same(step(defense, SPECS["lenet"], batch, seed=1), first) == (name == "soteria")


@every_defense
def test_a_telling_strength_changes_what_is_uploaded(name: str) -> None:
    batch = batch_of(2, soft=False)
    plain = step(make("none", {"none": {}}), SPECS["lenet"], batch)
    done = step(make(name), SPECS["lenet"], batch)
    assert torch.equal(done.inputs, plain.inputs) == (name not in BATCHES)
    assert not torch.equal(
        done.computed.gradients["head.weight"], plain.computed.gradients["head.weight"]
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", ["dp-sgd", "soteria"])
@every_model
@hard_and_soft
def test_zero_strength_changes_nothing(name: str, spec: ModelSpec, soft: bool) -> None:
    batch = batch_of(3, soft)
    plain = step(make("none", {"none": {}}), spec, batch).computed.gradients
    cls = DEFENSES.get(name)
    done = step(cls(**cls.identity), spec, batch).computed.gradients
    for key, value in plain.items():
        close = 1e-4 * float(value.abs().max())
        torch.testing.assert_close(done[key], value, rtol=1e-4, atol=max(close, 1e-7))


@every_defense
def test_frozen_parameters_have_no_gradient(name: str) -> None:
    class Frozen(MLP):
        def initialise(self, model: nn.Module, generator: torch.Generator) -> None:
            super().initialise(model, generator)
            model.get_submodule("head").requires_grad_(False)

    done = step(make(name), Frozen(hidden=(6,)), batch_of(2, soft=False))
    assert set(done.computed.gradients) == {"dense1.weight", "dense1.bias"}


@pytest.mark.parametrize("names", [("dp-sgd", "soteria"), ("soteria", "dp-sgd")])
def test_a_step_is_computed_by_one_defense(names: tuple[str, str]) -> None:
    """Or what the other claims would not be true."""
    private = Private(lambda count: batch_of(count, soft=False), CLASSES, nn.Identity())
    with pytest.raises(ScenarioError, match=f"'{names[0]}' and '{names[1]}'.*keep one"):
        DefendedSteps([make(name) for name in names], private, generator(), differentiate)


@every_defense
def test_what_it_did_is_measured(name: str) -> None:
    model = SPECS["mlp"].build(SHAPE, CLASSES, seed=0)
    private = Private(lambda count: batch_of(count, soft=False), CLASSES, model)
    steps = DefendedSteps([make(name)], private, generator(), differentiate)
    steps.compute(model, steps.protect(batch_of(2, soft=False)))
    [record] = steps.records()
    assert (record.name, record.parameters) == (name, STEPS[name])
    assert record.did
    assert all(isinstance(value, float) for value in record.did.values())
    assert not set(record.did) & set(record.parameters)


@every_defense
def test_privacy_is_claimed_by_noise_on_clipped_gradients_alone(name: str) -> None:
    assert (make(name).mechanism() is not None) == (name == "dp-sgd")


@pytest.mark.parametrize(
    ("name", "arguments", "expected"),
    [
        ("dp-sgd", {"norm": 0.0, "noise_multiplier": 1.0}, "norm\n.*greater than 0"),
        ("dp-sgd", {"norm": -1.0, "noise_multiplier": 1.0}, "norm\n.*greater than 0"),
        ("dp-sgd", {"norm": 1.0, "noise_multiplier": -0.1}, "greater than or equal to 0"),
        ("dp-sgd", {"norm": 1.0, "noise_multiplier": 1.0, "delta": 0.0}, "greater than 0"),
        ("dp-sgd", {"norm": 1.0, "noise_multiplier": 1.0, "delta": 1.0}, "less than 1"),
        ("dp-sgd", {"norm": 1.0}, "noise_multiplier"),
        ("soteria", {"fraction": -0.01}, "greater than or equal to 0"),
        ("soteria", {"fraction": 1.01}, "less than or equal to 1"),
        ("mixup", {"alpha": 0.0}, "greater than 0"),
        ("instahide", {"images": 1}, "greater than or equal to 2"),
        ("instahide", {"images": 2.5}, "valid integer"),
        ("transform-search", {"candidates": 0}, "greater than or equal to 1"),
        ("transform-search", {"candidates": 1001}, "less than or equal to 1000"),
    ],
)
def test_bad_strength_is_refused(name: str, arguments: dict[str, object], expected: str) -> None:
    with pytest.raises(ValidationError, match=expected):
        DEFENSES.get(name)(**arguments)
