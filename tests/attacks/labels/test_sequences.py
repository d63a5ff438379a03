"""The labels of local steps, and their order, from an update alone."""

import copy
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from fedsim.attacks import IDLG, LocalTraining, Observation, infer_labels
from fedsim.attacks.functional import parameters
from fedsim.attacks.labels.known import known_or_inferred
from fedsim.attacks.labels.sequences import CANDIDATES, search_labels
from fedsim.attacks.matching.problem import Problem
from fedsim.attacks.matching.trials import Trials
from fedsim.clients.training import local_training
from fedsim.core.errors import AttackError
from fedsim.models import MLP, ResNet18
from tests.victims import Shape, Victims, fashion_victims, random_victims

SHAPE: Shape = (1, 4, 4)
CLASSES = 6
RATE = 0.1


def update(
    model: nn.Module,
    data: Tensor,
    labels: Tensor,
    order: Tensor,
    *,
    rate: float = RATE,
    guess: float | None = None,
) -> Observation:
    """What the server sees of a client that took the steps in ``order``, ``(steps, batch)``."""
    batches = [(data[step], labels[step]) for step in order]
    return Observation.from_update(
        parameters(copy.deepcopy(model)),
        local_training(copy.deepcopy(model), batches, rate).arrays,
        learning_rate=guess or rate,
        local_steps=len(order),
        input_shape=tuple(data.shape[1:]),
        batch_size=order.shape[1],
        examples=len(data),
        exact=guess is None,
    )


def one_pass(steps: int, size: int) -> Tensor:
    return torch.arange(steps * size).view(steps, size)


def clothes(count: int, steps: int, size: int, rate: float = RATE) -> list[Observation]:
    victims = clothes_victims(count, steps, size)
    order = one_pass(steps, size)
    return [
        update(victims.model, x, y, order, rate=rate)
        for x, y in zip(victims.images, victims.labels, strict=True)
    ]


def clothes_victims(count: int, steps: int, size: int) -> Victims:
    return fashion_victims(count, batch_size=steps * size, shrink=2)


def by_step(labels: Tensor, size: int) -> list[list[int]]:
    return [sorted(step) for step in labels.view(-1, size).tolist()]


def share_right(found: Tensor, truth: Tensor) -> float:
    """Share of labels that are right, whatever their order."""
    counts = (torch.bincount(y, minlength=10) for y in (found, truth))
    return float(torch.minimum(*counts).sum()) / len(truth)


@given(st.lists(st.integers(0, CLASSES - 1), min_size=6, max_size=6), st.booleans())
@settings(deadline=None, max_examples=10)
def test_exact_where_the_pictures_are_plain(labels: list[int], known: bool) -> None:
    """Three steps of two pictures that the stand-ins equal: the truth explains all."""
    model = MLP(hidden=(8,)).build(SHAPE, CLASSES, seed=0)
    truth = torch.tensor(labels)
    seen = update(model, torch.full((6, *SHAPE), 0.5), truth, one_pass(3, 2))
    if known:
        seen = replace(seen, labels=truth.sort(descending=True).values)
    found = search_labels(model, seen)
    assert by_step(found[0], 2) == by_step(truth, 2)
    assert 1 <= len(found) <= CANDIDATES
    assert len(found.unique(dim=0)) == len(found)


@pytest.mark.parametrize("size", [1, 2])
@pytest.mark.slow
def test_labels_of_clothes(size: int) -> None:
    """Nearly all, and more than can be read off as if the weights had not moved."""
    victims = clothes_victims(6, 4, size)
    right, fixed = 0.0, 0.0
    for seen, truth in zip(clothes(6, 4, size), victims.labels, strict=True):
        right += share_right(search_labels(victims.model, seen)[0], truth) / 6
        first = infer_labels(victims.model, seen.gradient, seen.input_shape, len(truth))
        fixed += share_right(first, truth) / 6
    assert right >= 0.9
    assert fixed <= right - 0.1


@pytest.mark.slow
@pytest.mark.parametrize("rate", [0.1, 0.01])
def test_order_of_known_labels(rate: float) -> None:
    """Of 8 sequences of four single labels at least 6 come out right at first guess."""
    victims = clothes_victims(8, 4, 1)
    right = 0
    for seen, truth in zip(clothes(8, 4, 1, rate), victims.labels, strict=True):
        found = search_labels(victims.model, replace(seen, labels=truth.sort().values))
        assert torch.equal(found.sort(dim=1).values, truth.sort().values.expand_as(found))
        right += torch.equal(found[0], truth)
    assert right >= 6


@pytest.mark.slow
def test_several_passes_have_labels_for_their_examples() -> None:
    victims = clothes_victims(4, 2, 1)
    order = torch.tensor([[0], [1], [0], [1]])
    for images, labels in zip(victims.images, victims.labels, strict=True):
        found = search_labels(victims.model, update(victims.model, images, labels, order))
        assert found.shape[1] == 2
        assert torch.equal(found[0], labels)


@pytest.mark.parametrize("factor", [0.5, 2.0])
@pytest.mark.slow
def test_a_wrong_learning_rate_is_seen_through(factor: float) -> None:
    victims = clothes_victims(4, 4, 1)
    right = 0.0
    for images, labels in zip(victims.images, victims.labels, strict=True):
        seen = update(victims.model, images, labels, one_pass(4, 1), guess=factor * RATE)
        right += share_right(search_labels(victims.model, seen)[0], labels) / 4
    assert right >= 0.9


@pytest.mark.slow
def test_large_batches_are_climbed() -> None:
    """Four steps of 16: far too many sequences to try them all."""
    victims = clothes_victims(2, 4, 16)
    for seen, truth in zip(clothes(2, 4, 16), victims.labels, strict=True):
        found = search_labels(victims.model, seen)
        assert found.shape[1] == 64
        assert by_step(found[0], 16) == found[0].view(4, 16).tolist()
        first = infer_labels(victims.model, seen.gradient, seen.input_shape, 64)
        assert share_right(found[0], truth) > max(0.8, share_right(first, truth) + 0.2)


@pytest.mark.slow
def test_batch_norm() -> None:
    """Half of the labels at least, where chance has a sixth; the model is left alone."""
    victims = random_victims((3, 8, 8), count=3, batch_size=6, classes=6, spec=ResNet18())
    before = copy.deepcopy(victims.model.state_dict())
    right = 0.0
    for images, labels in zip(victims.images, victims.labels, strict=True):
        seen = update(victims.model, images, labels, one_pass(3, 2), rate=0.01)
        right += share_right(search_labels(victims.model, seen)[0], labels) / 3
    assert right > 0.6
    after = victims.model.state_dict()
    assert all(torch.equal(x, after[name]) for name, x in before.items())


def test_too_many_steps_for_so_few_classes() -> None:
    """With two classes any rest has rank one: known labels stay, others are counted."""
    model = MLP(hidden=(8,)).build(SHAPE, 2, seed=0)
    truth = torch.tensor([1, 0, 1, 1, 0, 1, 0, 1, 1, 0])
    seen = update(model, torch.full((10, *SHAPE), 0.5), truth, one_pass(10, 1))
    assert torch.equal(search_labels(model, replace(seen, labels=truth)), truth[None])
    [counted] = search_labels(model, seen)
    assert share_right(counted, truth) >= 0.8


def test_without_a_dense_layer() -> None:
    model = nn.Sequential(nn.Conv2d(1, 3, 4), nn.Flatten())
    truth = torch.tensor([2, 0])
    seen = update(model, torch.full((2, *SHAPE), 0.5), truth, one_pass(2, 1))
    assert torch.equal(search_labels(model, replace(seen, labels=truth)), truth[None])
    with pytest.raises(AttackError, match="dense last layer"):
        search_labels(model, seen)


@pytest.mark.slow
def test_same_result_each_time_and_no_label_of_many_missed() -> None:
    """100 classes, of which the rows of 16 are looked at."""
    victims = random_victims((1, 8, 8), count=1, batch_size=6, classes=100)
    order = one_pass(3, 2)
    seen = update(victims.model, victims.images[0], victims.labels[0], order)
    found = search_labels(victims.model, seen)
    assert torch.equal(found, search_labels(victims.model, seen))
    assert share_right_of_many(found[0], victims.labels[0]) >= 5 / 6


def share_right_of_many(found: Tensor, truth: Tensor) -> float:
    counts = (torch.bincount(y, minlength=100) for y in (found, truth))
    return float(torch.minimum(*counts).sum()) / len(truth)


def test_each_trial_takes_a_candidate_of_its_own() -> None:
    """The likeliest first; when candidates run out, its labels in another order."""
    [victims] = [clothes_victims(1, 4, 1)]
    [seen] = clothes(1, 4, 1)
    candidates = known_or_inferred(victims.model, seen)
    assert candidates.ndim == 2
    trials = len(candidates) + 1
    problem = Problem(IDLG(trials=trials), victims.model, {0: seen}, joint=False)
    lanes = Trials(problem, {0: candidates}, seed=0)
    taken = [lanes.target(trial).argmax(-1) for trial in range(trials)]
    assert torch.equal(torch.stack(taken[:-1]), candidates)
    assert torch.equal(taken[-1].sort().values, candidates[0].sort().values)


def test_gradients_of_one_batch_need_no_sequence() -> None:
    victims = clothes_victims(1, 1, 4)
    [seen] = victims.observations()
    assert known_or_inferred(victims.model, seen).shape == (4,)
    given_labels = replace(seen, labels=victims.labels[0])
    assert known_or_inferred(victims.model, given_labels) is given_labels.labels


@pytest.mark.slow
def test_one_step_at_a_guessed_rate() -> None:
    victims = clothes_victims(4, 1, 2)
    for images, labels in zip(victims.images, victims.labels, strict=True):
        seen = update(victims.model, images, labels, one_pass(1, 2), guess=2 * RATE)
        assert seen.training == LocalTraining(2 * RATE, 1, 2, exact=False)
        assert torch.equal(search_labels(victims.model, seen)[0], labels.sort().values)
