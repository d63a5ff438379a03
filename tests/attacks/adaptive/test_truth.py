"""Which attackers' equations explain a defended upload by the private data."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
import torch

from fedsim.attacks import DLG, GradientMatching, InvertingGradients, Observation
from fedsim.attacks.adaptive import Known
from fedsim.attacks.adaptive.compose import adapt, countermeasures_of
from fedsim.attacks.local_training import LocalTraining
from fedsim.clients.defenses import Defense
from fedsim.core.registry import DEFENSES
from fedsim.testing.victims import Case, defended, pictures

Table = Mapping[str, Any]

CHAINS: dict[str, list[dict[str, Any]]] = {
    "gaussian noise": [{"name": "gaussian-noise", "std": 0.02}],
    "laplacian noise": [{"name": "laplacian-noise", "scale": 0.02}],
    "pruning": [{"name": "pruning", "fraction": 0.7}],
    "clipping": [{"name": "clipping", "norm": 0.05}],
    "layer clipping": [{"name": "layer-clipping", "norm": 0.02}],
    "local DP": [{"name": "local-dp", "norm": 0.5, "noise_multiplier": 0.01}],
    "per-example clipping": [{"name": "dp-sgd", "norm": 0.05, "noise_multiplier": 0.0}],
    "DP-SGD": [{"name": "dp-sgd", "norm": 0.5, "noise_multiplier": 0.05}],
    "DP-SGD and fp16": [
        {"name": "dp-sgd", "norm": 0.5, "noise_multiplier": 0.05},
        {"name": "fp16"},
    ],
    "fp16": [{"name": "fp16"}],
    "bfloat16": [{"name": "bfloat16"}],
    "int8": [{"name": "int8"}],
    "signs": [{"name": "signsgd"}],
    "random sparsification": [{"name": "random-sparsification", "fraction": 0.5, "unbiased": True}],
    "random rounding": [{"name": "stochastic-quantisation", "bits": 4}],
    "partial upload": [{"name": "partial-upload", "fraction": 0.5}],
    "clipping and noise": [
        {"name": "clipping", "norm": 0.5},
        {"name": "gaussian-noise", "std": 0.01},
    ],
    "noise and fp16": [{"name": "gaussian-noise", "std": 0.02}, {"name": "fp16"}],
}


def defense(table: Table) -> Defense:
    made: Defense = DEFENSES.get(table["name"])(**{k: v for k, v in table.items() if k != "name"})
    return made


def uploads(case: Case, tables: list[dict[str, Any]]) -> list[Observation]:
    seen = case.observations
    for number, table in enumerate(tables):
        made = defense(table)
        seen = _after(seen, made) if number else defended(case, made, seed=3)
    return seen


def _after(seen: list[Observation], protection: Defense) -> list[Observation]:
    generator = torch.Generator().manual_seed(5)
    return [
        replace(s, gradient=protection.protect_upload(dict(s.gradient), generator).tensors)
        for s in seen
    ]


def adapted(tables: list[dict[str, Any]], batch_size: int = 2) -> GradientMatching:
    countermeasures = countermeasures_of(tables)
    return adapt(DLG(), countermeasures, Known(batch_size=batch_size))


def explained(attack: GradientMatching, case: Case, seen: list[Observation]) -> list[bool]:
    return [
        attack.truth_fit(case.model, s, x, y).explained
        for s, x, y in zip(seen, case.examples, case.labels, strict=True)
    ]


@pytest.mark.numeric
@pytest.mark.parametrize("model", ["lenet", "mlp"])
def test_the_private_batch_explains_an_undefended_upload(model: str) -> None:
    case = pictures(model, 1)
    for attack in (DLG(), InvertingGradients(total_variation=0.0), DLG(precision="float64")):
        assert explained(attack, case, case.observations) == [True, True]
        for s, x, y in zip(case.observations, case.examples, case.labels, strict=True):
            fit = attack.truth_fit(case.model, s, x, y)
            assert 0 <= fit.relative_objective <= fit.rounding < 1e-5
            # Another picture, however near, is another gradient.
            assert not attack.truth_fit(case.model, s, x + 0.01, y).explained


@pytest.mark.numeric
@pytest.mark.parametrize("chain", CHAINS)
def test_an_attacker_with_the_right_equations_explains_the_upload(chain: str) -> None:
    case = pictures("lenet", 2)
    seen = uploads(case, CHAINS[chain])
    assert explained(adapted(CHAINS[chain]), case, seen) == [True, True]


@pytest.mark.numeric
@pytest.mark.parametrize("chain", CHAINS)
def test_an_attacker_who_ignores_the_defense_does_not(chain: str) -> None:
    case = pictures("lenet", 2)
    assert explained(DLG(), case, uploads(case, CHAINS[chain])) == [False, False]


@pytest.mark.numeric
@pytest.mark.parametrize(
    ("chain", "change"),
    [
        ("gaussian noise", {"std": 0.01}),
        ("gaussian noise", {"std": 0.03}),
        ("laplacian noise", {"scale": 0.03}),
        ("laplacian noise", {"scale": 0.015}),
        ("clipping", {"norm": 0.06}),
        ("layer clipping", {"norm": 0.03}),
        ("per-example clipping", {"norm": 0.06}),
        ("per-example clipping", {"name": "clipping"}),  # of the mean, not of each example
        ("DP-SGD", {"norm": 0.6}),
        ("DP-SGD", {"noise_multiplier": 0.1}),  # noise that is not divided by the batch size
        ("local DP", {"norm": 0.6}),
        ("local DP", {"noise_multiplier": 0.02}),
        ("random sparsification", {"fraction": 0.6}),
        ("random rounding", {"bits": 5}),
        ("fp16", {"name": "bfloat16"}),
        ("bfloat16", {"name": "fp16"}),
        ("int8", {"name": "fp16"}),
        ("signs", {"name": "int8"}),
        ("pruning", {"name": "fp16"}),
        ("gaussian noise", {"name": "laplacian-noise", "scale": 0.02}),
    ],
)
def test_an_attacker_with_perturbed_equations_does_not(chain: str, change: dict[str, Any]) -> None:
    case = pictures("lenet", 2)
    seen = uploads(case, CHAINS[chain])
    perturbed = adapted([{**CHAINS[chain][0], **change}])
    assert explained(perturbed, case, seen) == [False, False]


@pytest.mark.numeric
@pytest.mark.parametrize("noise_std", [0.0, 0.01])
@pytest.mark.parametrize("factor", [0.9, 1.1])
def test_an_attacker_with_a_wrong_learning_rate_does_not(noise_std: float, factor: float) -> None:
    case = pictures("lenet", 2)
    chain = [{"name": "gaussian-noise", "std": noise_std}] if noise_std else []
    seen = [
        replace(s, gradient={k: factor * g for k, g in s.gradient.items()})
        for s in uploads(case, chain)
    ]
    assert explained(adapted(chain), case, seen) == [False, False]


@pytest.mark.numeric
def test_an_attacker_in_the_wrong_mode_or_on_the_wrong_weights_does_not() -> None:
    case = pictures("mlp", 1)
    other = replace(case, model=pictures("mlp", 1, torch.float64).model.to(torch.float32))
    assert explained(DLG(), other, case.observations) == [True, True]
    with torch.no_grad():
        next(iter(other.model.parameters())).mul_(1.01)
    assert explained(DLG(), other, case.observations) == [False, False]


@pytest.mark.numeric
def test_several_steps_taken_for_one_do_not() -> None:
    case, rate = pictures("lenet", 2), 0.1
    unrolled, averaged = DLG(), DLG(local_steps="average")
    for x, y, s in zip(case.examples, case.labels, case.observations, strict=True):
        training = LocalTraining(rate, steps=2, batch_size=1)
        plan = replace(s, training=training)
        problem, against, labels = unrolled._judging(case.model, plan, y)
        mean = problem.upload_of(x, labels, against)
        observed = replace(plan, gradient=mean, weight_unit=1 / (2 * rate))
        assert unrolled.truth_fit(case.model, observed, x, y).explained
        assert not averaged.truth_fit(case.model, observed, x, y).explained


@pytest.mark.numeric
def test_the_rounding_of_weights_is_part_of_an_update() -> None:
    case, rate = pictures("lenet", 1), 1e-3
    before = {k: p.detach() for k, p in case.model.named_parameters()}
    for s, x, y in zip(case.observations, case.examples, case.labels, strict=True):
        after = {k: w - rate * s.gradient[k] for k, w in before.items()}
        seen = Observation.from_update(
            before, after, learning_rate=rate, input_shape=s.input_shape, batch_size=1
        )
        fit = DLG().truth_fit(case.model, seen, x, y)
        assert fit.explained
        assert not DLG().truth_fit(case.model, replace(seen, weight_unit=None), x, y).explained
        assert fit.relative_objective <= fit.rounding


@pytest.mark.numeric
def test_the_rounding_of_an_aggregation_is_part_of_a_sum() -> None:
    case, step = pictures("lenet", 1), 1e-5
    for s, x, y in zip(case.observations, case.examples, case.labels, strict=True):
        rounded = {k: step * torch.round(g / step) for k, g in s.gradient.items()}
        seen = replace(s, gradient=rounded, resolution=step)
        fit = DLG().truth_fit(case.model, seen, x, y)
        assert fit.explained
        assert fit.rounding < fit.relative_objective < 1e-6
        assert not DLG().truth_fit(case.model, replace(seen, resolution=0.0), x, y).explained
        assert not DLG().truth_fit(case.model, seen, x + 0.05, y).explained
