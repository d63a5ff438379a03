"""The surrogate model: one gradient between the received and the sent weights."""

import copy

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from fedsim.attacks import (
    DLG,
    SGD,
    BestOf,
    LocalTraining,
    Observation,
    SquaredDistance,
    Surrogate,
)
from fedsim.attacks.functional import parameters
from fedsim.attacks.matching.client import Client
from fedsim.attacks.matching.problem import Problem
from fedsim.attacks.matching.trials import Trials
from fedsim.models import LeNet
from tests.rounding import assert_same

pytestmark = pytest.mark.numeric

SHAPE, CLASSES = (1, 6, 6), 3


def victim(epochs: int, rate: float = 0.1) -> tuple[nn.Module, nn.Module, Observation, Tensor]:
    """Return the model before and after local training, its observation and its data."""
    model = LeNet().build(SHAPE, CLASSES, seed=0).double()
    generator = torch.Generator().manual_seed(1)
    data = torch.rand((4, *SHAPE), generator=generator, dtype=torch.float64)
    own, optimiser = copy.deepcopy(model), SGD(0.01, momentum=0.5)
    steps = torch.optim.SGD(own.parameters(), rate, momentum=0.5, weight_decay=0.01)
    for rows in list(torch.arange(4).split(2)) * epochs:
        steps.zero_grad()
        F.cross_entropy(own(data[rows]), rows % CLASSES).backward()
        steps.step()
    training = LocalTraining.of_epochs(rate, epochs, 2, 4, optimiser=optimiser)
    before, after = parameters(model), parameters(own)
    seen = Observation.from_training(before, after, training, input_shape=SHAPE, examples=4)
    return model, own, seen, data


def test_the_line_ends_at_the_sent_weights() -> None:
    model, own, seen, _ = victim(2)
    assert seen.training is not None
    way = seen.training.way(parameters(model), seen.gradient)
    for k, w in parameters(own).items():
        assert_same(parameters(model)[k] + way[k], w)


@pytest.mark.parametrize(("last", "share"), [(-20.0, 0.0), (0.0, 0.5), (20.0, 1.0)])
def test_objective_compares_the_gradient_at_the_point_of_the_line(
    last: float, share: float
) -> None:
    model, own, seen, data = victim(2)
    labels = torch.arange(4) % CLASSES
    attack = Surrogate(total_variation=0.0)
    problem = Problem(attack, model, {0: seen}, joint=False)
    against = Trials(problem, {0: labels}, seed=0).against(0)
    point = torch.cat([data.flatten(), data.new_tensor([last])])
    between = copy.deepcopy(model)
    sent = parameters(own)
    with torch.no_grad():
        for k, w in between.named_parameters():
            w.add_(share * (sent[k] - w))
    expected = Client(between).upload(data, F.one_hot(labels, CLASSES).double())
    distance = attack.objective(expected, seen.gradient)
    assert_same(problem.distance(point, against), distance, scale=1.0)


@pytest.mark.parametrize("local_steps", ["surrogate", "unroll"])
def test_cost_of_an_evaluation_does_not_grow_with_the_epochs(
    monkeypatch: pytest.MonkeyPatch, local_steps: str
) -> None:
    counted: dict[int, int] = {}
    plain = Client._gradient
    for epochs in (1, 10):
        calls = 0

        def count(self, *given):  # type: ignore[no-untyped-def]
            nonlocal calls
            calls += 1
            return plain(self, *given)

        monkeypatch.setattr(Client, "_gradient", count)
        model, _, seen, data = victim(epochs)
        attack = Surrogate(local_steps=local_steps, objective=SquaredDistance())  # type: ignore[arg-type]
        attack.relative_objective_of(model, seen, data, torch.arange(4) % CLASSES)
        counted[epochs] = calls
    assert counted == ({1: 1, 10: 1} if local_steps == "surrogate" else {1: 2, 10: 20})


def test_a_point_inside_the_line_fits_the_private_data_best() -> None:
    model, _, seen, data = victim(5, rate=0.01)
    problem = Problem(Surrogate(total_variation=0.0), model, {0: seen}, joint=False)
    against = Trials(problem, {0: torch.arange(4) % CLASSES}, seed=0).against(0)
    starts = torch.linspace(-1, 1, 21, dtype=torch.float64)  # shares of 2 % to 98 %
    points = torch.cat([data.flatten().expand(21, -1), starts[:, None]], dim=1)
    values = problem.values(points, against)
    assert 0 < int(values.argmin()) < 20


@pytest.mark.parametrize(
    ("epochs", "most", "way"), [(1, 2, "unroll"), (1, 1, "surrogate"), (2, 20, "surrogate")]
)
def test_best_unrolls_short_trainings_of_one_pass(epochs: int, most: int, way: str) -> None:
    model, _, seen, data = victim(epochs)
    labels = torch.arange(4) % CLASSES
    attack = BestOf(evaluations=2, most_unrolled=most)
    assert seen.training is not None
    assert attack.steps_as(seen.training, 4) == way
    same = DLG() if way == "unroll" else Surrogate(total_variation=1e-2)
    objective = same.relative_objective_of(model, seen, data, labels)
    assert attack.relative_objective_of(model, seen, data, labels) == objective
    fit = attack.truth_fit(model, seen, data, labels)
    assert fit.explained is (way == "unroll")
    [found] = attack.run(model, [seen])
    assert found.data is not None
    assert found.evaluations == 2


def test_best_leaves_another_choice_as_it_is() -> None:
    _, _, seen, _ = victim(3)
    assert seen.training is not None
    attack = BestOf(local_steps="average", most_unrolled=1)
    assert attack.steps_as(seen.training, 4) == "average"


@pytest.mark.parametrize(
    ("steps", "batch_size", "way"),
    [(2, 2, "unroll"), (3, 2, "surrogate"), (5, 4, "unroll"), (21, 4, "surrogate")],
)
def test_best_unrolls_steps_that_use_no_example_again(
    steps: int, batch_size: int, way: str
) -> None:
    assert BestOf().steps_as(LocalTraining(0.1, steps, batch_size), examples=4) == way
