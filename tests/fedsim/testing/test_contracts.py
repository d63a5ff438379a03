"""Every registered class keeps to the contract that third parties check theirs with."""

import dataclasses
from typing import Any

import pytest

from fedsim.core.registry import (
    ATTACKS,
    COUNTERMEASURES,
    DEFENSES,
    MANIPULATIONS,
    METRICS,
    MODELS,
    Registry,
)
from fedsim.models import MLP, ConvNet, Precode, ResNet18
from fedsim.testing import (
    Check,
    attack_checks,
    countermeasure_checks,
    dataset_checks,
    defense_checks,
    manipulation_checks,
    metric_checks,
    model_checks,
)
from tests.attacks.kinds import CRAFTED

pytestmark = pytest.mark.numeric

# Closed forms leave nothing to search on small models.
ONLY_SEARCH = {"best": {"closed_forms": False}}
SPECS = [
    MLP(hidden=()),
    MLP(hidden=(16, 8), activation="tanh"),
    ConvNet(channels=(4, 8), activation="softplus"),
    Precode(base="convnet", bottleneck=8),
    Precode(base="mlp"),
    ResNet18(batch_norm="eval", small_images=False),
]


LARGE = ["efficientnet-lite0", "resnet18", "torchvision"]
QUICK_ATTACKS = ["april", "bag-of-tokens", "dager", "dense", "idlg"]
"""The others' checks take minutes together; `tests/attacks` has contracts of its own."""


SOME = "some victims are reconstructed"


def ours(registry: Registry) -> list[str]:
    """Names of the classes of fedsim itself that run: tests and audits register their own."""
    return [
        name
        for name in registry.names()
        if (home := registry.get(name).__module__).startswith("fedsim.")
        and not home.startswith("fedsim.engine.audit.")
    ]


def every(checks: list[Check]) -> Any:
    return pytest.mark.parametrize("check", checks, ids=str)


@every([c for name in ours(DEFENSES) for c in defense_checks(name)])
def test_defenses(check: Check) -> None:
    check()


@pytest.mark.slow
@every([c for name in QUICK_ATTACKS for c in attack_checks(name)])
def test_attacks(check: Check) -> None:
    check()


@every(
    [
        check
        for name in ours(ATTACKS)
        if name not in QUICK_ATTACKS
        for check in attack_checks(name, **ONLY_SEARCH.get(name, {}))
        if not (name in CRAFTED and check.name.endswith(SOME))
    ]
)
@pytest.mark.slow
def test_other_attacks(check: Check) -> None:
    check()


@every([c for name in ours(MODELS) if name not in LARGE for c in model_checks(name)])
def test_models(check: Check) -> None:
    check()


@every([c for name in LARGE for c in model_checks(name)])
@pytest.mark.slow
def test_large_models(check: Check) -> None:
    check()


@every([c for s in SPECS for c in model_checks(type(s), **dataclasses.asdict(s))])
@pytest.mark.slow
def test_models_of_other_parameters(check: Check) -> None:
    check()


@every([c for n in ("fashion-mnist-mini", "messages", "sentences") for c in dataset_checks(n)])
def test_data_sets(check: Check) -> None:
    check()


@pytest.mark.slow
@every([c for name in ours(COUNTERMEASURES) for c in countermeasure_checks(name)])
def test_countermeasures(check: Check) -> None:
    check()


@every([c for name in ours(METRICS) for c in metric_checks(name)])
def test_metrics(check: Check) -> None:
    check()


@every([c for name in ours(MANIPULATIONS) for c in manipulation_checks(name)])
def test_manipulations(check: Check) -> None:
    check()
