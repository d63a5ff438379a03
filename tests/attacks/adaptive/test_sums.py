"""Adaptive attackers of the mean of several clients' uploads."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from fedsim.attacks import DLG, IDLG, GradientMatching, Observation
from fedsim.attacks.adaptive import Known, adapt, adapt_to_sum, countermeasures_of
from fedsim.attacks.adaptive.answer import Answer
from fedsim.attacks.adaptive.compose import answers_to
from fedsim.attacks.adaptive.sums import answer_of_sum
from fedsim.attacks.matching.objectives import GaussianLikelihood
from fedsim.attacks.matching.processing import Clip, ClipTensors, KeepLargest
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


def clipping(norm: float) -> Table:
    return {"name": "clipping", "norm": norm}


def pruning(fraction: float) -> Table:
    return {"name": "pruning", "fraction": fraction}


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
        ([[clipping(0.1), gaussian(0.03)], [clipping(0.1), gaussian(0.04)]], 0.025, True),
        ([[{"name": "local-dp", "norm": 0.1, "noise_multiplier": 0.3}], []], 0.015, True),
        ([[pruning(0.5), gaussian(0.03)], [gaussian(0.04)]], 0.025, True),
        ([[gaussian(0.1), {"name": "fp16"}]] * 4, 0.05, False),
    ],
)
def test_the_noise_of_a_mean(chains: Sequence[Chain], std: float, exact: bool) -> None:
    found = answer(chains)
    assert found is not None
    assert isinstance(found.likelihood, GaussianLikelihood)
    assert found.spread == found.image_noise_std == found.likelihood.std
    assert math.isclose(found.likelihood.std, std, rel_tol=1e-4)
    assert found.approximate is not exact


@pytest.mark.parametrize("batch_size", [1, 4])
def test_each_example_of_all_clients_is_clipped(batch_size: int) -> None:
    found = answer([[dp_sgd(0.1)], [dp_sgd(0.2)], [dp_sgd(0.2)]], batch_size)
    assert found is not None
    assert found.per_example == (Clip(0.5),)
    assert found.scales
    assert not found.wrappers
    assert found.spread is not None
    assert math.isclose(found.spread, 0.5 * 0.3 / batch_size / 3)


def test_each_clients_upload_is_changed_as_its_client_does() -> None:
    found = answer([[clipping(0.1), pruning(0.5)], [], [{"name": "layer-clipping", "norm": 0.2}]])
    assert found is not None
    assert found.per_client == ((Clip(0.1), KeepLargest(0.5)), (), (ClipTensors(0.2),))
    assert found.scales
    assert not found.approximate
    assert not found.wrappers
    chains = [countermeasures_of([clipping(0.1)])] * 2
    assert adapt_to_sum(DLG(), chains, Known(clients=2, local_steps=2)) is None


@pytest.mark.parametrize(
    "table", [{"name": "fp16"}, {"name": "int8"}, {"name": "stochastic-quantisation", "bits": 4}]
)
def test_rounding_is_an_approximate_noise(table: Table) -> None:
    one, four = answer([[table]]), answer([[table]] * 4)
    assert one is not None
    assert four is not None
    assert one.approximate
    assert four.approximate
    assert one.spread
    assert four.spread == pytest.approx(one.spread / 2)


def test_undefended_clients_need_no_adaptation() -> None:
    assert answer([[], []]) == Answer()
    attack = DLG()
    assert adapt_to_sum(attack, [[], []], Known(clients=2)) is attack


@pytest.mark.parametrize(
    "chains",
    [
        [[gaussian(0.1), pruning(0.5)]] * 2,  # the noise is pruned too
        [[gaussian(0.1), clipping(0.1)]] * 2,
        [[{"name": "signsgd"}]] * 2,
        [[{"name": "random-sparsification", "fraction": 0.5, "unbiased": True}]] * 2,
        [[{"name": "partial-upload", "fraction": 0.5}]] * 2,
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


@pytest.mark.slow
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
        [clipping(0.05), clipping(0.02)],
        [pruning(0.7), pruning(0.7)],
        [pruning(0.9), pruning(0.3)],
        [{"name": "layer-clipping", "norm": 0.02}] * 2,
        [{"name": "local-dp", "norm": 0.5, "noise_multiplier": 0.01}] * 2,
    ],
)
def test_the_private_batches_explain_the_mean(batch_size: int, tables: Sequence[Table]) -> None:
    case = pictures("lenet", batch_size)
    seen, data, labels = mean_of(case, tables)

    def explains(attack: GradientMatching) -> bool:
        return attack.truth_fit(case.model, seen, data, labels).explained

    assert explains(adapted(tables, batch_size))
    assert not explains(DLG())
    if tables[0] != dp_sgd(0.0, norm=0.05):  # which clips examples without noise
        of_one = adapt(DLG(), countermeasures_of(tables[:1]), Known(batch_size=batch_size))
        assert not explains(of_one)


def errors(attack: GradientMatching, case: Case, seen: Observation, data: Tensor) -> Tensor:
    """Return the squared error of each private picture's nearest reconstruction."""
    [found] = attack.run(case.model, [seen])
    assert found.data is not None
    return (found.data[:, None] - data[None]).square().flatten(2).mean(-1).amin(0)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("tables", "gain"),
    [
        ([pruning(0.9)] * 2, 5),
        ([clipping(0.05), clipping(0.02)], 1e4),
        ([{"name": "stochastic-quantisation", "bits": 4}] * 2, 2),
    ],
)
def test_who_knows_the_defenses_finds_more_in_a_sum(tables: Sequence[Table], gain: float) -> None:
    case = pictures("lenet", 1)
    seen, data, _ = mean_of(case, tables)
    attack = IDLG(evaluations=200)
    chains = [countermeasures_of([table]) for table in tables]
    found = adapt_to_sum(attack, chains, Known(batch_size=1, clients=2))
    assert found is not None
    better, naive = errors(found, case, seen, data), errors(attack, case, seen, data)
    assert better.mean() < naive.mean() / gain
