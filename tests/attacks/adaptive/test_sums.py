"""Adaptive attackers of the mean of several clients' uploads."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from fedsim.attacks import DLG, GradientMatching, Observation
from fedsim.attacks.adaptive import Known, adapt, adapt_to_sum, countermeasures_of
from fedsim.attacks.adaptive.answer import Answer
from fedsim.attacks.adaptive.compose import answers_to
from fedsim.attacks.adaptive.sums import answer_of_sum
from fedsim.attacks.matching.objectives import GaussianLikelihood
from fedsim.attacks.matching.processing import Clip
from fedsim.core.registry import DEFENSES
from fedsim.testing.victims import Case, defended, pictures

Table = Mapping[str, Any]
Chain = Sequence[Table]


def gaussian(std: float) -> Table:
    return {"name": "gaussian-noise", "std": std}


def laplacian(scale: float) -> Table:
    return {"name": "laplacian-noise", "scale": scale}


def dp_sgd(noise_multiplier: float, norm: float = 0.5) -> Table:
    return {"name": "dp-sgd", "norm": norm, "noise_multiplier": noise_multiplier}


def answer(chains: Sequence[Chain], batch_size: int = 1) -> Answer | None:
    known = Known(batch_size=batch_size, clients=len(chains))
    return answer_of_sum(answers_to(countermeasures_of(chain), known) for chain in chains)


@pytest.mark.parametrize(
    ("chains", "std", "exact"),
    [
        ([[gaussian(0.03)], [gaussian(0.04)]], 0.025, True),
        ([[gaussian(0.03)], [], [gaussian(0.04)]], 0.05 / 3, True),
        ([[gaussian(0.01)]] * 25, 0.002, True),
        ([[gaussian(0.03), gaussian(0.04)], []], 0.025, True),
        ([[laplacian(0.03)], [laplacian(0.04)]], 2**0.5 * 0.025, False),
        ([[gaussian(0.03)], [laplacian(0.04 / 2**0.5)]], 0.025, False),
    ],
)
def test_the_noise_of_a_mean(chains: Sequence[Chain], std: float, exact: bool) -> None:
    found = answer(chains)
    assert found is not None
    assert isinstance(found.likelihood, GaussianLikelihood)
    assert found.spread == found.image_noise_std == found.likelihood.std
    assert math.isclose(found.likelihood.std, std)
    assert found.approximate is not exact
    assert not found.scales


@pytest.mark.parametrize("batch_size", [1, 4])
def test_each_example_of_all_clients_is_clipped(batch_size: int) -> None:
    found = answer([[dp_sgd(0.1)], [dp_sgd(0.2)], [dp_sgd(0.2)]], batch_size)
    assert found is not None
    assert found.per_example == (Clip(0.5),)
    assert found.scales
    assert not found.wrappers
    assert found.spread is not None
    assert math.isclose(found.spread, 0.5 * 0.3 / batch_size / 3)


def test_undefended_clients_need_no_adaptation() -> None:
    assert answer([[], []]) == Answer()
    attack = DLG()
    assert adapt_to_sum(attack, [[], []], Known(clients=2)) is attack


@pytest.mark.parametrize(
    "chains",
    [
        [[{"name": "pruning", "fraction": 0.5}], []],
        [[gaussian(0.1), {"name": "pruning", "fraction": 0.5}]] * 2,
        [[{"name": "clipping", "norm": 0.1}]] * 2,
        [[{"name": "local-dp", "norm": 0.1, "noise_multiplier": 0.1}]] * 2,
        [[gaussian(0.1), {"name": "fp16"}]] * 2,
        [[{"name": "signsgd"}]] * 2,
        [[{"name": "stochastic-quantisation", "bits": 4}]] * 2,
        [[{"name": "random-sparsification", "fraction": 0.5, "unbiased": True}]] * 2,
        [[dp_sgd(0.1)], []],
        [[dp_sgd(0.1)], [dp_sgd(0.1, norm=0.4)]],
        [[dp_sgd(0.1)], [gaussian(0.1)]],
    ],
)
def test_other_defenses_do_not_add_up(chains: Sequence[Chain]) -> None:
    assert answer(chains) is None
    clients = [countermeasures_of(chain) for chain in chains]
    assert adapt_to_sum(DLG(), clients, Known(clients=len(clients))) is None


def mean_of(case: Case, tables: Sequence[Table]) -> tuple[Observation, Tensor, Tensor]:
    """Return the mean of a case's clients' uploads, one defense each, and the batch behind it."""
    seen = []
    for number, table in enumerate(tables):
        parameters = {k: v for k, v in table.items() if k != "name"}
        defense = DEFENSES.get(table["name"])(**parameters)
        seen.append(defended(case, defense, seed=3 + number)[number].gradient)
    mean = {k: torch.stack([s[k] for s in seen]).mean(0) for k in seen[0]}
    data, labels = torch.cat(case.examples), torch.cat(case.labels)
    clear = case.observations[0]
    return replace(clear, gradient=mean, batch_size=len(data), labels=labels), data, labels


def adapted(tables: Sequence[Table], batch_size: int) -> GradientMatching:
    known = Known(batch_size=batch_size, clients=len(tables))
    found = adapt_to_sum(DLG(), [countermeasures_of([table]) for table in tables], known)
    assert found is not None
    return found


@pytest.mark.numeric
@pytest.mark.parametrize("batch_size", [1, 2])
@pytest.mark.parametrize(
    "tables",
    [
        [gaussian(0.02), gaussian(0.02)],
        [gaussian(0.03), gaussian(0.01)],
        [gaussian(0.02), gaussian(0.0)],
        [laplacian(0.02), laplacian(0.02)],
        [dp_sgd(0.05), dp_sgd(0.05)],
        [dp_sgd(0.1), dp_sgd(0.05)],
        [dp_sgd(0.0, norm=0.05), dp_sgd(0.0, norm=0.05)],
    ],
)
def test_the_private_batches_explain_the_mean(batch_size: int, tables: Sequence[Table]) -> None:
    case = pictures("lenet", batch_size)
    seen, data, labels = mean_of(case, tables)

    def explains(attack: GradientMatching) -> bool:
        return attack.truth_fit(case.model, seen, data, labels).explained

    assert explains(adapted(tables, batch_size))
    assert not explains(DLG())
    if tables[0] != dp_sgd(0.0, norm=0.05):  # without noise the clients do not differ
        of_one = adapt(DLG(), countermeasures_of(tables[:1]), Known(batch_size=batch_size))
        assert not explains(of_one)
