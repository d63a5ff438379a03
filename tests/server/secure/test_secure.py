"""The strategy that sees no upload but their sum, with a protocol made for the tests."""

from collections.abc import Sequence
from dataclasses import dataclass

import pytest
import torch
from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.serverapp import Grid

from fedsim.clients.app import make_client_app
from fedsim.data import LENGTHS_KEY
from fedsim.engine.inline import InlineGrid
from fedsim.server.fedsgd import FedSGD
from fedsim.server.secure.strategy import NOT_ASKED, Protocol, Revealed, SecureAggregation
from fedsim.server.uploads import Sum
from tests.fedsim.small import small

PARTITIONS = {1: 0, 2: 1, 3: 2}
WEIGHTS = {"count": torch.tensor(3), "w": torch.tensor([1.0, 2.0])}
SHAPES = {"count": (), "w": (2,)}
CLEAR = {
    node: RecordDict(
        {
            "metrics": MetricRecord(
                {"num-examples": node, "loss": float(node), LENGTHS_KEY: [9 - node]}
            )
        }
    )
    for node in (1, 2, 3)
}


@dataclass
class Says(Protocol):
    """A protocol that reveals what it is told to."""

    revealed: Revealed
    size: int = 0

    def reveal(
        self, grid: Grid, server_round: int, messages: Sequence[Message], size: int
    ) -> Revealed:
        self.size = size
        return self.revealed


def one_round(revealed: Revealed) -> tuple[ArrayRecord | None, MetricRecord | None, Sum]:
    sums: list[Sum] = []
    strategy = SecureAggregation(
        FedSGD(0.5, ["w"]),
        Says(revealed),
        PARTITIONS,
        SHAPES,
        ["w"],
        lambda server_round, arrays, total: sums.append(total),
    )
    grid = InlineGrid(make_client_app(small().to_toml()), 3)
    messages = strategy.configure_train(1, ArrayRecord(dict(WEIGHTS)), ConfigRecord(), grid)
    assert list(messages) == [], "Flower itself sends nothing"
    arrays, metrics = strategy.aggregate_train(1, [])
    [total] = sums
    return arrays, metrics, total


def test_the_wrapped_strategy_steps_along_the_mean() -> None:
    mean = torch.tensor([1.0, 0.25, -0.5]).double()
    sizes = dict.fromkeys(CLEAR, 99)
    arrays, metrics, total = one_round(Revealed(mean, (1, 2, 3), CLEAR, sizes))
    assert arrays is not None
    after = arrays.to_torch_state_dict()
    assert after["w"].tolist() == [1.0 - 0.5 * 0.25, 2.0 + 0.5 * 0.5]
    assert after["count"] == 4, "a buffer's change is added to what was sent"
    assert total.examples == 6
    assert total.partitions == (0, 1, 2)
    assert [u.metrics["upload-bytes"] for u in total.uploads] == [99.0] * 3
    assert [u.lengths for u in total.uploads] == [(8,), (7,), (6,)]
    assert total.lengths == (6, 7, 8)
    assert not any(u.arrays for u in total.uploads)
    assert metrics is not None
    assert metrics["loss"] == pytest.approx((1 + 4 + 9) / 6)


def test_without_a_sum_there_is_no_step() -> None:
    revealed = Revealed(None, dropped={2: "masking: lost \x1b[31m"}, problem="too few")
    arrays, metrics, total = one_round(revealed)
    assert (arrays, metrics) == (None, None)
    assert total.problem == "too few"
    assert [u.problem for u in total.uploads] == [NOT_ASKED, "masking: lost  [31m", NOT_ASKED]


def test_before_the_first_round_there_is_nothing_to_aggregate() -> None:
    strategy = SecureAggregation(
        FedSGD(0.5, ["w"]), Says(Revealed(None)), PARTITIONS, SHAPES, ["w"], lambda *_: None
    )
    assert strategy.aggregate_train(1, []) == (None, None)
