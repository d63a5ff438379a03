"""Labels of local steps by fitting pictures to the upload."""

import copy
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from fedsim.attacks import IDLG, SGD, Adam, LocalOptimiser, LocalTraining, Observation
from fedsim.attacks.functional import parameters
from fedsim.attacks.labels.fitted import LEAST_BUDGET, Effort, is_fittable, labels_by_fitting
from fedsim.attacks.labels.fitting import Fitting
from fedsim.attacks.labels.known import known_or_inferred
from fedsim.clients.training import local_training
from fedsim.core.errors import AttackError
from fedsim.models import MLP
from fedsim.scenario import optimizers
from tests.rounding import assert_same

pytestmark = pytest.mark.numeric

SHAPE, CLASSES = (1, 4, 4), 5
OPTIMISERS: dict[str, tuple[optimizers.Optimizer, LocalOptimiser, float]] = {
    "sgd": (optimizers.Sgd(), SGD(), 0.5),
    "momentum": (optimizers.Sgd(momentum=0.9), SGD(momentum=0.9), 0.5),
    "adam": (optimizers.Adam(), Adam(), 0.01),
}
QUICK = Effort(starts=1, free=30, given=10, breadth=4, rounds=2)
LABELS = torch.tensor([3, 1, 4, 0, 2, 1])


def client(name: str, epochs: int = 1) -> tuple[nn.Module, Tensor, Observation]:
    """Return a model, private pictures and the upload after steps of 3 examples."""
    optimizer, optimiser, rate = OPTIMISERS[name]
    model = MLP(hidden=(16,)).build(SHAPE, CLASSES, seed=0).double()
    generator = torch.Generator().manual_seed(1)
    images = torch.rand((len(LABELS), *SHAPE), generator=generator, dtype=torch.float64)
    batches = [(images[s], LABELS[s]) for s in torch.arange(len(LABELS)).split(3)] * epochs
    after = local_training(copy.deepcopy(model), batches, rate, optimizer=optimizer).arrays
    training = LocalTraining.of_epochs(rate, epochs, 3, len(LABELS), optimiser=optimiser)
    seen = Observation.from_training(
        parameters(model), after, training, input_shape=SHAPE, examples=len(LABELS)
    )
    return model, images, seen


def by_step(labels: Tensor) -> list[list[int]]:
    return [sorted(step.tolist()) for step in labels.split(3)]


@pytest.mark.parametrize("name", OPTIMISERS)
def test_private_batch_has_no_misfit(name: str) -> None:
    model, images, seen = client(name)
    target = torch.nn.functional.one_hot(LABELS, CLASSES).double()
    misfit = Fitting(model, seen).misfit(images.flatten(), target)
    assert_same(misfit, torch.zeros(()).double(), scale=1.0)


@pytest.mark.slow
@pytest.mark.parametrize("name", OPTIMISERS)
def test_labels_of_each_step(name: str) -> None:
    model, _, seen = client(name)
    found = known_or_inferred(model, seen, evaluations=LEAST_BUDGET)
    assert by_step(found[0]) == by_step(LABELS)


def test_steps_of_public_labels() -> None:
    model, _, seen = client("momentum")
    found = labels_by_fitting(model, replace(seen, labels=LABELS.sort().values), effort=QUICK)
    assert by_step(found[0]) == by_step(LABELS)
    assert all(torch.equal(row.sort().values, LABELS.sort().values) for row in found)


@pytest.mark.slow
def test_labels_of_steps_whose_gradients_were_clipped() -> None:
    model, images, seen = client("sgd")
    batches = [(images[s], LABELS[s]) for s in torch.arange(len(LABELS)).split(3)]
    assert seen.training is not None
    training = replace(seen.training, max_norm=0.2)
    after = local_training(copy.deepcopy(model), batches, 0.5, max_grad_norm=0.2).arrays
    clipped = Observation.from_training(
        parameters(model), after, training, input_shape=SHAPE, examples=len(LABELS)
    )
    with pytest.raises(AttackError, match="clipped"):
        known_or_inferred(model, clipped)
    found = labels_by_fitting(model, clipped)
    assert torch.equal(found[0].sort().values, LABELS.sort().values)


def test_fitting_is_not_used_where_it_is_not_valid() -> None:
    model, _, seen = client("sgd")
    assert seen.training is not None
    assert is_fittable(model, seen)
    assert not is_fittable(model, client("sgd", epochs=2)[2])
    assert not is_fittable(model, replace(seen, training=None))
    guessed = replace(seen, training=replace(seen.training, exact=False))
    with pytest.raises(AttackError, match="by fitting"):
        labels_by_fitting(model, guessed)
    with pytest.raises(AttackError, match="local steps"):
        Fitting(model, replace(seen, training=None))


def test_labels_within_a_step_are_in_ascending_order() -> None:
    model, _, seen = client("sgd")
    assert Fitting(model, seen).in_steps(LABELS).tolist() == [1, 3, 4, 0, 1, 2]


@pytest.mark.parametrize(("evaluations", "fits"), [(LEAST_BUDGET - 1, 0), (LEAST_BUDGET, 1)])
def test_fits_are_for_attacks_of_enough_evaluations(
    monkeypatch: pytest.MonkeyPatch, evaluations: int, fits: int
) -> None:
    model, _, seen = client("momentum")
    calls: list[Observation] = []

    def fitting(_model: nn.Module, observation: Observation, _first: Tensor) -> Tensor:
        calls.append(observation)
        return LABELS[None]

    monkeypatch.setattr("fedsim.attacks.labels.known.labels_by_fitting", fitting)
    IDLG(evaluations=evaluations)._labels(model, seen)
    assert len(calls) == fits
    public = replace(seen, labels=LABELS)
    IDLG(evaluations=evaluations, local_steps="average")._labels(model, public)
    assert len(calls) == fits, "the order of public labels does not matter to an average"
