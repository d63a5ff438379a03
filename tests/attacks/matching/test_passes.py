"""Later passes with dummies of their own, which agree with the first up to their order."""

import copy
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from fedsim.attacks import IDLG, BestOf, LocalTraining, Observation
from fedsim.attacks.functional import parameters
from fedsim.attacks.matching.passes import disagreement, merged
from fedsim.attacks.matching.problem import Problem
from fedsim.attacks.matching.trials import Trials
from fedsim.clients.training import local_training
from fedsim.models import MLP
from tests.rounding import assert_same
from tests.victims import fashion_victims

pytestmark = pytest.mark.numeric

SHAPE, CLASSES, RATE, BATCH = (1, 3, 3), 5, 0.3, 2
LABELS = torch.tensor([0, 1, 2, 3, 4])
ORDERS = [torch.arange(5), torch.tensor([3, 0, 4, 1, 2])]
AGREE = IDLG(evaluations=30, reused="agree")


def client() -> tuple[nn.Module, Tensor, Observation]:
    """Return a model, private pictures and the upload after two passes in different orders."""
    model = MLP(hidden=(12,)).build(SHAPE, CLASSES, seed=0).double()
    generator = torch.Generator().manual_seed(0)
    images = torch.rand((len(LABELS), *SHAPE), generator=generator, dtype=torch.float64)
    batches = [(images[s], LABELS[s]) for order in ORDERS for s in order.split(BATCH)]
    after = local_training(copy.deepcopy(model), batches, RATE).arrays
    training = LocalTraining.of_epochs(RATE, len(ORDERS), BATCH, len(LABELS))
    seen = Observation.from_training(
        parameters(model), after, training, input_shape=SHAPE, examples=len(LABELS)
    )
    return model, images, replace(seen, labels=LABELS)


def test_private_passes_in_their_orders_have_no_misfit() -> None:
    model, images, seen = client()
    problem = Problem(AGREE, model, {0: seen}, joint=False)
    against = Trials(problem, {0: LABELS}, seed=0).against(0)
    own = torch.nn.functional.one_hot(torch.cat([LABELS[o] for o in ORDERS]), CLASSES)
    point = torch.cat([images[order] for order in ORDERS]).flatten()
    misfit = problem.distance(point, against._replace(target=own.double()))
    assert_same(misfit, torch.zeros(()).double(), scale=1.0)
    guessed = Problem(replace(AGREE, reused="guess"), model, {0: seen}, joint=False)
    fixed = Trials(guessed, {0: LABELS}, seed=0).against(0)
    assert guessed.distance(images.flatten(), fixed) > 1e-6


def test_agreement_does_not_depend_on_the_order() -> None:
    _, images, _ = client()
    passes = torch.cat([images[order] for order in ORDERS])
    assert_same(disagreement(passes, 2), torch.zeros(()).double(), scale=1.0)
    other = torch.cat([images, images + 0.2])
    assert float(disagreement(other, 2)) == pytest.approx(0.01)


def test_passes_are_put_in_the_first_order_and_averaged() -> None:
    _, images, _ = client()
    noisy = torch.cat([images, (images + 0.02)[ORDERS[1]]])
    assert_same(merged(noisy, 2), images + 0.01)


def test_later_labels_are_in_random_orders_after_the_first_trial() -> None:
    model, _, seen = client()
    problem = Problem(replace(AGREE, trials=2), model, {0: seen}, joint=False)
    trials = Trials(problem, {0: LABELS}, seed=0)
    first, second = (trials.target(lane).argmax(1).chunk(2) for lane in (0, 1))
    assert torch.equal(first[0], first[1])
    assert not torch.equal(second[0], second[1])
    assert torch.equal(second[0].sort().values, second[1].sort().values)


@pytest.mark.parametrize("labels", [True, False])
def test_reconstructions_are_of_the_private_batch(labels: bool) -> None:
    model, images, seen = client()
    attack = replace(BestOf(evaluations=5), reused="agree", most_unrolled=20)
    seen = seen if labels else replace(seen, labels=None)
    assert attack.own_passes(seen) == len(ORDERS)
    [found] = attack.run(model, [seen])
    assert found.data is not None
    assert found.data.shape == images.shape
    assert found.labels is not None
    assert found.labels.shape == LABELS.shape
    assert attack.relative_objective_of(model, seen, images, LABELS) > 0


def test_a_single_pass_and_full_batches_have_a_known_order() -> None:
    _, _, seen = client()
    assert AGREE.own_passes(seen) == 2
    assert AGREE.own_passes(replace(seen, training=LocalTraining.of_epochs(RATE, 1, 2, 5))) == 1
    assert AGREE.own_passes(replace(seen, training=LocalTraining.of_epochs(RATE, 2, 5, 5))) == 1
    assert replace(AGREE, reused="guess").own_passes(seen) == 1
    assert replace(AGREE, local_steps="average").own_passes(seen) == 1


@pytest.mark.slow
def test_own_dummies_find_more_than_a_guessed_order_where_labels_of_steps_are_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    victims = replace(
        fashion_victims(1, batch_size=8, shrink=4, public=True),
        model=MLP(hidden=(64,)).build((1, 7, 7), 10, seed=0).double(),
    ).double()
    images, labels, model = victims.images[0], victims.labels[0], victims.model
    orders = [torch.randperm(8, generator=torch.Generator().manual_seed(i)) for i in range(2)]
    batches = [(images[s], labels[s]) for order in orders for s in order.split(4)]
    after = local_training(copy.deepcopy(model), batches, RATE).arrays
    training = LocalTraining.of_epochs(RATE, 2, 4, 8)
    seen = Observation.from_training(
        parameters(model), after, training, input_shape=(1, 7, 7), examples=8
    )
    rows = torch.nn.functional.one_hot(torch.cat([labels[o] for o in orders]), 10).double()

    def of_each_step(trials: Trials, _lane: int) -> Tensor:
        return rows[: 8 * trials._problem.passes]

    monkeypatch.setattr(Trials, "target", of_each_step)
    known = replace(seen, labels=labels)
    guessed, own = (
        float(victims.psnr(attack.run(model, [known])).median())
        for attack in (
            IDLG(evaluations=200, trials=4),
            IDLG(evaluations=200, reused="agree"),
        )
    )
    print(f"{guessed:.1f} dB in a guessed order, {own:.1f} with own dummies")  # noqa: T201
    assert own > guessed + 3
