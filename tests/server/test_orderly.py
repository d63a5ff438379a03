"""Rounds that can be repeated, whatever order replies come in and whatever they hold."""

import random
from collections.abc import Iterable

import pytest
import torch
from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord
from flwr.serverapp import Grid
from flwr.serverapp.strategy import FedAvg
from hypothesis import given
from hypothesis import strategies as st

from fedsim.clients.app import make_client_app
from fedsim.engine.inline import InlineGrid
from fedsim.server.orderly import Orderly, draw_cohort
from tests.fedsim.small import small
from tests.server.wire import reply_of, same

PARTITIONS = {1: 2, 2: 0, 3: 3, 4: 1}
SHAPES = {"w": (50,)}


class Listening(FedAvg):
    """FedAvg that remembers what it was shown."""

    def __init__(self) -> None:
        super().__init__(fraction_evaluate=0.0, min_train_nodes=1, min_available_nodes=1)
        self.seen: list[Message] = []
        self.grid: Grid | None = None

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        self.grid = grid
        return super().configure_train(server_round, arrays, config, grid)

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        self.seen = list(replies)
        return super().aggregate_train(server_round, self.seen)


def orderly(fraction: float = 1.0, seed: int = 5) -> tuple[Orderly, Listening]:
    strategy = Listening()
    return Orderly(strategy, PARTITIONS, SHAPES, seed=seed, fraction=fraction), strategy


def grid() -> InlineGrid:
    return InlineGrid(make_client_app(small("clients.0.count=4").to_toml()), 4)


def upload(node: int, **metrics: float) -> Message:
    rng = torch.Generator().manual_seed(node)
    return reply_of({"w": torch.randn(50, generator=rng)}, node=node, examples=node, **metrics)


def cohort(strategy: Orderly, server_round: int) -> list[int]:
    messages = strategy.configure_train(server_round, ArrayRecord(), ConfigRecord(), grid())
    return [PARTITIONS[m.metadata.dst_node_id] for m in messages]


@given(
    st.integers(0, 2**63 - 1),
    st.integers(1, 10**6),
    st.integers(1, 40),
    st.floats(0, 1, exclude_min=True),
)
def test_a_cohort_is_a_sorted_function_of_seed_and_round(
    seed: int, server_round: int, clients: int, fraction: float
) -> None:
    drawn = draw_cohort(seed, server_round, range(clients), fraction)
    assert drawn == draw_cohort(seed, server_round, range(clients), fraction)
    assert drawn == sorted(set(drawn))
    assert set(drawn) <= set(range(clients))
    assert len(drawn) == max(1, round(clients * fraction))


def test_cohorts_differ_between_rounds_and_seeds() -> None:
    rounds = {tuple(draw_cohort(5, r, range(20), 0.5)) for r in range(1, 9)}
    seeds = {tuple(draw_cohort(s, 1, range(20), 0.5)) for s in range(8)}
    assert len(rounds) == len(seeds) == 8


def test_everyone_in_turn_takes_part() -> None:
    seen = {p for r in range(1, 60) for p in draw_cohort(5, r, range(20), 0.1)}
    assert seen == set(range(20))


@pytest.mark.parametrize("fraction", [1.0, 0.5, 0.1])
def test_messages_go_to_the_cohort_in_order_whatever_flower_draws(fraction: float) -> None:
    strategy, _ = orderly(fraction)
    found = []
    for _ in range(3):
        random.seed()
        found.append([cohort(strategy, r) for r in (1, 2, 3)])
    assert found[0] == found[1] == found[2]
    assert found[0] == [draw_cohort(5, r, range(4), fraction) for r in (1, 2, 3)]


def test_the_wrapped_strategy_sees_no_other_nodes() -> None:
    strategy, inner = orderly(0.5)
    partitions = cohort(strategy, 1)
    assert inner.grid is not None
    assert sorted(PARTITIONS[n] for n in inner.grid.get_node_ids()) == partitions
    assert inner.grid.run.run_id == grid().run.run_id


def test_the_order_of_replies_does_not_matter() -> None:
    strategy, inner = orderly()
    results = []
    for seed in range(6):
        replies = [upload(node) for node in PARTITIONS]
        random.Random(seed).shuffle(replies)  # noqa: S311
        arrays, metrics = strategy.aggregate_train(1, iter(replies))
        assert arrays is not None
        assert metrics is not None
        results.append(dict(arrays.to_torch_state_dict()))
        assert [PARTITIONS[m.metadata.src_node_id] for m in inner.seen] == [0, 1, 2, 3]
    assert all(same(results[0], other) for other in results[1:])


def test_without_it_the_order_would_matter() -> None:
    replies = [upload(node) for node in PARTITIONS]
    forward, _ = Listening().aggregate_train(1, replies)
    backward, _ = Listening().aggregate_train(1, replies[::-1])
    assert forward is not None
    assert backward is not None
    assert not same(forward.to_torch_state_dict(), backward.to_torch_state_dict())


def test_replies_that_cannot_be_used_are_left_out() -> None:
    strategy, inner = orderly()
    broken = reply_of({"w": torch.full((50,), torch.nan)}, node=2)
    arrays, _ = strategy.aggregate_train(1, [upload(1), broken, upload(3)])
    expected, _ = Listening().aggregate_train(1, [upload(1), upload(3)])
    assert arrays is not None
    assert expected is not None
    assert same(arrays.to_torch_state_dict(), expected.to_torch_state_dict())
    assert [m.metadata.src_node_id for m in inner.seen] == [1, 3]


def test_a_round_without_a_usable_reply_changes_nothing() -> None:
    strategy, inner = orderly()
    assert strategy.aggregate_train(1, []) == (None, None)
    assert strategy.aggregate_train(1, [reply_of({}, node=1)]) == (None, None)
    assert inner.seen == []


def test_metrics_that_only_some_send_are_left_out() -> None:
    strategy, _ = orderly()
    replies = [upload(1, loss=1.0, own=3.0), upload(2, loss=4.0), upload(3, loss=7.0, other=1.0)]
    arrays, metrics = strategy.aggregate_train(1, replies)
    assert arrays is not None
    assert metrics is not None
    assert dict(metrics) == pytest.approx({"loss": (1 * 1 + 2 * 4 + 3 * 7) / 6})


def test_replies_themselves_are_not_changed() -> None:
    strategy, _ = orderly()
    replies = [upload(1, loss=1.0, own=3.0), upload(2, loss=4.0)]
    strategy.aggregate_train(1, replies)
    assert dict(replies[0].content["metrics"]) == {"num-examples": 1, "loss": 1.0, "own": 3.0}
