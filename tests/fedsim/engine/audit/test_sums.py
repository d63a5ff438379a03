"""Sums of an app's own secure aggregation."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

import fedsim
from fedsim.clients.audit_mod import round_of
from fedsim.core.errors import RunError
from fedsim.engine.audit.details import TrainingDetails
from fedsim.engine.audit.examples import Tensors
from fedsim.engine.audit.making import plan_of
from fedsim.engine.audit.plan import AuditPlan
from fedsim.engine.audit.sums import sum_of
from fedsim.scenario.aggregation import SecAggPlus
from fedsim.server.observing import Observing
from fedsim.server.secure.foreign import AppSum, check_clients
from tests.fedsim.engine.audit.apps import CLASSES, RATE, SHAPE, plain

TOTAL = AppSum(
    server_round=1,
    strategy="FedAvg",
    rounds=2,
    sent=[],
    mean=[],
    examples={11: 8, 12: 4},
    reported={},
    dropped=[13],
    plan=SecAggPlus(quantization_range=2**16),
)


def plan(**given: Any) -> AuditPlan:
    return plan_of(
        **{
            "model": plain, "input_shape": SHAPE, "learning_rate": RATE, "batch_size": 4,
            "local_steps": None, "local_epochs": None, "optimizer": "sgd", "loss": None,
            "uploads": "weights", "mode": "train", "normalisation": None, "value_range": (0, 1),
            "truth": None, "public": None, "defenses": (), "attack": "best", "evaluations": 1,
            "rounds": (1,), "clients": 1, "time_limit_s": 1.0, "seed": 0,
            "details": TrainingDetails(), **given,
        }
    )  # fmt: skip


def test_clients_are_seen_without_their_tensors() -> None:
    seen = sum_of(TOTAL, {11: 0, 12: 1, 13: 2}, {"w": torch.ones(3)})
    assert (seen.partitions, seen.examples, set(seen.dropped)) == ((0, 1), 12, {2})
    assert [u.metrics["num-examples"] for u in seen.uploads] == [8, 4]
    assert not any(u.arrays for u in seen.uploads)


def test_in_a_sum_of_epochs_each_client_takes_its_own_steps() -> None:
    """Clients of 8 and 4 examples take 6 and 3 steps: 5 of the weighted mean, not those of 6."""
    scenario = replace(plan(local_epochs=3), aggregation=TOTAL.plan).scenario("FedAvg", 2, 3)
    assert scenario.federation.aggregation.hides
    assert 'name = "secagg+"' in scenario.to_toml()
    model = plain()
    weights = model.state_dict()
    public = Tensors(torch.rand(4, *SHAPE), torch.arange(4) % CLASSES)
    seen = sum_of(TOTAL, {11: 0, 12: 1, 13: 2}, weights)
    training = Observing(scenario.federation, model, public, RATE).observe(seen, weights).training
    assert training is not None
    assert training.learning_rate * training.steps == pytest.approx(RATE * (8 * 6 + 4 * 3) / 12)


def test_a_strategy_that_waits_for_more_clients_is_refused() -> None:
    strategy = SimpleNamespace(min_available_clients=5)
    check_clients(strategy, "min_available_clients", 5)
    with pytest.raises(RunError, match="give --clients 5"):
        check_clients(strategy, "min_available_clients", 2)


def test_a_strategy_of_before_the_message_api_is_refused(tmp_path: Path) -> None:
    given: Any = SimpleNamespace()
    with pytest.raises(RunError, match=r"expected one of flwr\.serverapp\.strategy"):
        fedsim.audit(given, model=plain, input_shape=SHAPE, learning_rate=RATE, out=tmp_path / "r")


def test_the_round_of_a_workflow_is_the_name_of_its_group() -> None:
    content = SimpleNamespace(config_records={})
    for group, number in (("3", 3), ("", 0)):
        message: Any = SimpleNamespace(content=content, metadata=SimpleNamespace(group_id=group))
        assert round_of(message) == number
