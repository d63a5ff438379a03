"""The audit changes nothing: the model is bit for bit that of the wrapped strategy."""

import random
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord
from flwr.serverapp import Grid
from flwr.serverapp.strategy import (
    FedAdam,
    FedAvg,
    FedMedian,
    FedProx,
    FedYogi,
    Krum,
    Result,
    Strategy,
)

from fedsim.log.run import Run
from fedsim.log.schema import LeakageRecord
from tests.fedsim.engine.audit.apps import Batch, Net, app, audited, batch, fedavg, train

NO_EVALUATION: dict[str, Any] = {"fraction_evaluate": 0.0}


class Halved(FedAvg):
    """A user's own strategy, which draws from global random states and changes the replies."""

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        config["draw"] = float(torch.rand(())) + random.random() + float(np.random.rand())  # noqa: NPY002, S311
        return super().configure_train(server_round, arrays, config, grid)

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        replies = list(replies)
        for reply in replies:
            halved = {k: v / 2 for k, v in reply.content["arrays"].to_torch_state_dict().items()}
            reply.content["arrays"] = ArrayRecord(halved)
        return super().aggregate_train(server_round, replies)


class OwnLoop(FedAvg):
    """A user's own strategy with a loop of its own: all rounds twice."""

    def start(self, *given: Any, **named: Any) -> Result:
        first = super().start(*given, **named)
        grid, _, *others = given
        return super().start(grid, first.arrays, *others, **named)


MADE: dict[str, Callable[[], Strategy]] = {
    "FedAvg": fedavg,
    "FedProx": lambda: FedProx(proximal_mu=0.1, **NO_EVALUATION),
    "FedAdam": lambda: FedAdam(**NO_EVALUATION),
    "FedYogi": lambda: FedYogi(**NO_EVALUATION),
    "FedMedian": lambda: FedMedian(**NO_EVALUATION),
    "Krum": lambda: Krum(num_malicious_nodes=0, **NO_EVALUATION),
    "own": lambda: Halved(**NO_EVALUATION),
    "own loop": lambda: OwnLoop(**NO_EVALUATION),
}


def final(strategy: Strategy) -> tuple[dict[str, bytes], list[float]]:
    """Return the final model, and numbers that are then drawn from the global random states."""
    result = train(strategy, app(Net, training=False), Net, rounds=2)
    drawn = [float(torch.rand(())), random.random(), float(np.random.rand())]  # noqa: NPY002, S311
    return {k: v.numpy().tobytes() for k, v in result.arrays.items()}, drawn


@pytest.mark.parametrize("name", MADE)
def test_the_audit_changes_no_bit(name: str, tmp_path: Path) -> None:
    def truth(partition: int, server_round: int) -> Batch:
        torch.rand(5), random.random(), np.random.rand()  # noqa: NPY002, S311
        return batch(partition, server_round)

    own = {"model": Net, "mode": "eval", "rounds": (1, 2), "truth": truth, "clients": 1}
    np.random.seed(3)  # noqa: NPY002
    watched = final(audited(tmp_path / "run", MADE[name](), **own))
    np.random.seed(3)  # noqa: NPY002
    assert watched == final(MADE[name]())
    run = Run.read(tmp_path / "run")
    assert run.summary.status == "finished"
    assert {r.round for r in run.of_kind(LeakageRecord)} == {1, 2}
    assert not run.summary.notes
