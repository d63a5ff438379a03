"""Sums over changing cohorts, and batches that share examples."""

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn

from fedsim.attacks import DLG, IDLG, Observation
from fedsim.attacks.rounds import over_rounds, separated
from fedsim.clients.training import gradient
from fedsim.core.errors import AttackError
from fedsim.models import MLP

SHAPE, CLASSES = (1, 6, 6), 4
PICTURES = torch.rand(4, *SHAPE, generator=torch.Generator().manual_seed(0)).double()
LABELS = torch.tensor([2, 0, 2, 1])


def sums(
    cohorts: Sequence[Sequence[int]], *, trains: bool = True, hidden: int = 24
) -> tuple[list[nn.Module], list[Observation]]:
    """Return the model of each round, and the mean of its clients' uploads, of one picture each."""
    models: list[nn.Module] = [
        MLP(hidden=(hidden,)).build(SHAPE, CLASSES, seed=n if trains else 0).double()
        for n in range(len(cohorts))
    ]
    seen = [
        Observation(
            gradient(model, (PICTURES[list(own)], LABELS[list(own)])).arrays, SHAPE, len(own)
        )
        for model, own in zip(models, cohorts, strict=True)
    ]
    return models, seen


@pytest.mark.numeric
@pytest.mark.parametrize(
    ("cohorts", "single"),
    [
        ([(0, 1), (1, 2), (0, 2)], {0, 1, 2}),
        ([(0, 1, 2), (0, 1)], {2}),
        ([(0, 1), (2, 3)], set()),
        ([(0, 1), (2, 3), (1, 2), (0, 3)], set()),  # a cycle of even length
        ([(3,), (0, 1, 2, 3), (0, 1)], {2, 3}),
    ],
)
def test_changing_cohorts_give_single_uploads_away(
    cohorts: Sequence[Sequence[int]], single: set[int]
) -> None:
    _, seen = sums(cohorts, trains=False)
    [model], _ = sums(cohorts[:1])
    found = separated(cohorts, [o.gradient for o in seen])
    assert found.keys() == single
    for client, upload in found.items():
        own = gradient(model, (PICTURES[[client]], LABELS[[client]])).arrays
        for name, x in own.items():
            torch.testing.assert_close(upload[name], x, rtol=1e-7, atol=1e-9)


def test_noise_is_averaged_by_the_least_squares() -> None:
    generator = torch.Generator().manual_seed(0)
    cohorts = [(0, 1), (1, 2), (0, 2)] * 12
    noise = [{"w": torch.randn(4000, generator=generator)} for _ in cohorts]
    # The three sums of two have an inverse whose rows have a norm of 3 ** 0.5.
    for upload in separated(cohorts, noise).values():
        assert float(upload["w"].std()) == pytest.approx((3 / 12) ** 0.5, rel=0.05)


@pytest.mark.parametrize(("cohorts", "means"), [([(0,)], 2), ([(0,), ()], 2)])
def test_cohorts_that_do_not_fit_are_refused(cohorts: Sequence[Sequence[int]], means: int) -> None:
    with pytest.raises(AttackError, match="expected one for each"):
        separated(cohorts, [{"w": torch.zeros(1)}] * means)


COHORTS = [(0, 1), (1, 2, 3), (0, 2)]


@pytest.mark.numeric
def test_the_private_examples_explain_rounds_that_share_them() -> None:
    models, seen = sums(COHORTS)
    joint, observation = over_rounds(models, seen, COHORTS)
    assert observation.batch_size == 4
    assert observation.labels is not None
    fit = DLG().truth_fit(joint, observation, PICTURES, LABELS)
    assert fit.explained
    assert fit.relative_objective < 1e-20
    assert not DLG().truth_fit(joint, observation, PICTURES.flip(0), LABELS).explained
    other, same = over_rounds(models, seen, [(1, 0), (1, 2, 3), (1, 2)])
    assert not DLG().truth_fit(other, same, PICTURES, LABELS).explained


def test_labels_are_those_that_all_rounds_agree_on() -> None:
    cohorts = [(0, 1), (1, 2), (0, 2), (2, 3)]
    models, seen = sums(cohorts)
    _, observation = over_rounds(models, seen, cohorts)
    assert observation.labels is not None
    assert observation.labels.tolist() == LABELS.tolist()


def errors(data: Tensor, pictures: Tensor) -> Tensor:
    """Return the squared error of each picture's nearest reconstruction."""
    return (data[:, None] - pictures[None]).square().flatten(2).mean(-1).amin(0)


@pytest.mark.slow
def test_pairs_that_share_pictures_are_separated() -> None:
    """One hidden unit gives 45 equations for the 72 pixels of a pair, 135 for the 108 of three."""
    cohorts = [(0, 1), (1, 2), (0, 2)]
    models, seen = sums(cohorts, hidden=1)
    attack = IDLG(evaluations=80)
    [one] = attack.run(models[0], seen[:1])
    joint, observation = over_rounds(models, seen, cohorts)
    [together] = attack.run(joint, [observation])
    assert one.data is not None
    assert together.data is not None
    assert errors(together.data, PICTURES[:2]).max() < errors(one.data, PICTURES[:2]).max() / 10


@pytest.mark.parametrize("members", [[(0, 1), (1, 2)], [(0, 1), (1, 2, 3), (0, 0)]])
def test_members_that_do_not_fit_are_refused(members: Sequence[Sequence[int]]) -> None:
    models, seen = sums(COHORTS)
    with pytest.raises(AttackError, match="expected one position for each example"):
        over_rounds(models, seen, members)
