"""Defended uploads of several rounds as one observation."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fedsim.attacks import DLG, IDLG, GradientMatching, Observation
from fedsim.attacks.adaptive import Known, adapt, countermeasures_of
from fedsim.attacks.rounds import in_each_round, over_rounds
from fedsim.clients.defenses import Defense
from fedsim.clients.training import gradient
from fedsim.core.errors import AttackError
from fedsim.core.registry import DEFENSES
from fedsim.models import MLP

Table = Mapping[str, Any]

SHAPE, LABEL = (1, 6, 6), torch.tensor([2])
CLASSES = 4


def picture() -> Tensor:
    return torch.rand(1, *SHAPE, generator=torch.Generator().manual_seed(0)).double()


def uploads(
    table: Table, count: int, *, trains: bool = True
) -> tuple[list[nn.Module], list[Observation]]:
    """Return the models and uploads of a client with one picture, its state kept."""
    defense: Defense = DEFENSES.get(table["name"])(
        **{k: v for k, v in table.items() if k != "name"}
    )
    models: list[nn.Module] = [
        MLP(hidden=(8,)).build(SHAPE, CLASSES, seed=n if trains else 0).double()
        for n in range(count)
    ]
    seen, state = [], {}
    for number, model in enumerate(models):
        clear = gradient(model, (picture(), LABEL)).arrays
        generator = torch.Generator().manual_seed(number)
        done = defense.protect_next(dict(clear), generator, state)
        state = dict(done.state)
        seen.append(Observation(done.tensors, SHAPE, labels=LABEL))
    return models, seen


def adapted(table: Table, known: Known, attack: GradientMatching | None = None) -> GradientMatching:
    return adapt(attack or DLG(), countermeasures_of([table]), known)


def explained(
    attack: GradientMatching, models: Sequence[nn.Module], seen: Sequence[Observation]
) -> bool:
    joint, observation = over_rounds(models, seen)
    return in_each_round(attack).truth_fit(joint, observation, picture(), LABEL).explained


@pytest.mark.numeric
@pytest.mark.parametrize(
    "table",
    [
        {"name": "pruning", "fraction": 0.7},
        {"name": "random-sparsification", "fraction": 0.7, "unbiased": True},
        {"name": "partial-upload", "fraction": 0.5},
        {"name": "clipping", "norm": 0.1},
        {"name": "layer-clipping", "norm": 0.05},
        {"name": "local-dp", "norm": 0.5, "noise_multiplier": 0.05},
        {"name": "gaussian-noise", "std": 0.02},
    ],
)
def test_the_private_batch_explains_defended_rounds(table: Table) -> None:
    models, seen = uploads(table, 3)
    assert explained(adapted(table, Known()), models, seen)
    assert not explained(DLG(), models, seen)


@pytest.mark.numeric
@pytest.mark.parametrize("trains", [True, False])
@pytest.mark.parametrize("momentum", [0.0, 0.5])
def test_withheld_values_are_followed_from_the_first_upload_on(
    momentum: float, trains: bool
) -> None:
    table = {"name": "dgc", "fraction": 0.8, "momentum": momentum}
    models, seen = uploads(table, 4, trains=trains)
    attack = adapted(table, Known(uploads=4))
    assert not attack.approximate
    assert explained(attack, models, seen)
    assert not explained(adapted({**table, "momentum": 0.3}, Known(uploads=4)), models, seen)
    assert not explained(attack, models[1:], seen[1:])  # without the first one
    alone = adapted(table, Known())
    assert alone.approximate
    assert not explained(alone, models, seen)
    first = adapted(table, Known(uploads=1))
    assert not first.approximate
    assert first.truth_fit(models[0], seen[0], picture(), LABEL).explained


def error(model: nn.Module, attack: GradientMatching, seen: Observation) -> float:
    [found] = attack.run(model, [seen])
    assert found.data is not None
    return float((found.data - picture()).square().mean())


@pytest.mark.slow
@pytest.mark.parametrize(
    "table",
    [
        {"name": "random-sparsification", "fraction": 0.93, "unbiased": False},
        {"name": "dgc", "fraction": 0.93, "momentum": 0.0},
    ],
)
def test_rounds_together_have_the_equations_that_one_lacks(table: Table) -> None:
    """23 of 332 coordinates are fewer than the 36 pixels; those of six rounds are more."""
    models, seen = uploads(table, 6)
    attack = IDLG(evaluations=60)
    one = adapted(table, Known(uploads=1), attack)
    joint, observation = over_rounds(models, seen)
    together = in_each_round(adapted(table, Known(uploads=6), attack))
    assert error(joint, together, observation) < error(models[0], one, seen[0]) / 10


def test_clients_that_clip_in_sums_are_refused() -> None:
    several = replace(DLG(), per_client=((), ()))
    with pytest.raises(AttackError, match="over several rounds"):
        in_each_round(several)
