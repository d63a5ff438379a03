"""The eavesdropper changes nothing: the model is bit for bit that of the wrapped strategy."""

import random
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pytest
import torch
from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord
from flwr.serverapp import Grid
from flwr.serverapp.strategy import FedAdagrad, FedAdam, FedAvg, FedAvgM, FedMedian, Strategy
from torch import Tensor

from fedsim.clients.app import make_client_app
from fedsim.clients.site import site_of
from fedsim.engine.inline import InlineGrid
from fedsim.scenario import Scenario
from fedsim.server.delegate import Delegate
from fedsim.server.eavesdropper import Eavesdropper, OnUploads
from fedsim.server.federation import base_strategy, upload_shapes
from fedsim.server.fedsgd import FedSGD
from fedsim.server.orderly import Orderly
from fedsim.server.uploads import Upload
from tests.fedsim.small import small
from tests.server.wire import global_weights, same

PARTITIONS = {1: 0, 2: 1, 3: 2}
NO_EVALUATION: dict[str, Any] = {"fraction_evaluate": 0.0}
ROUNDS = 3


def gradients() -> Scenario:
    return small("clients.0.defenses=[{name='gaussian-noise', std=1e-3}]")


def updates() -> Scenario:
    return small("federation={upload='update', local_steps=2, batch_size=2, learning_rate=0.1}")


def final_model(scenario: Scenario, strategy: Strategy) -> dict[str, Tensor]:
    """Return what a strategy trains from the scenario's clients, with Flower's draws repeated."""
    random.seed(3)
    grid = InlineGrid(make_client_app(scenario.to_toml()), scenario.num_clients)
    initial = ArrayRecord(global_weights(scenario))
    return dict(strategy.start(grid, initial, num_rounds=ROUNDS).arrays.to_torch_state_dict())


def eavesdrop(scenario: Scenario, strategy: Strategy, listener: OnUploads) -> Eavesdropper:
    shapes = upload_shapes(scenario, site_of(scenario.to_toml()).architecture)
    return Eavesdropper(strategy, PARTITIONS, shapes, listener)


def null_listener(server_round: int, arrays: ArrayRecord, uploads: Sequence[Upload]) -> None:
    """Look away."""


def vandal(server_round: int, arrays: ArrayRecord, uploads: Sequence[Upload]) -> None:
    """Spoil everything that can be reached."""
    for tensor in arrays.to_torch_state_dict().values():
        tensor.zero_()
    for upload in uploads:
        for tensor in upload.arrays.values():
            tensor.zero_()


def fed_sgd() -> Strategy:
    return FedSGD(0.5, list(global_weights(gradients())))


STRATEGIES: dict[str, tuple[Callable[[], Scenario], Callable[[], Strategy]]] = {
    "FedSGD": (gradients, fed_sgd),
    "FedAvg": (updates, lambda: FedAvg(**NO_EVALUATION)),
    "FedAvg of half the clients": (
        updates,
        lambda: FedAvg(fraction_train=0.5, min_train_nodes=1, **NO_EVALUATION),
    ),
    "FedAdam": (updates, lambda: FedAdam(**NO_EVALUATION)),
    "FedAdagrad": (updates, lambda: FedAdagrad(**NO_EVALUATION)),
    "FedAvgM": (updates, lambda: FedAvgM(server_momentum=0.9, **NO_EVALUATION)),
    "FedMedian": (updates, lambda: FedMedian(**NO_EVALUATION)),
}


@pytest.mark.parametrize("name", STRATEGIES)
@pytest.mark.parametrize("listener", [null_listener, vandal])
def test_the_model_is_that_of_the_wrapped_strategy(name: str, listener: OnUploads) -> None:
    make_scenario, make_strategy = STRATEGIES[name]
    scenario = make_scenario()
    alone = final_model(scenario, make_strategy())
    watched = final_model(scenario, eavesdrop(scenario, make_strategy(), listener))
    assert same(alone, watched)
    assert not same(alone, global_weights(scenario))


@pytest.mark.parametrize("make_scenario", [gradients, updates])
def test_around_an_orderly_strategy_too(make_scenario: Callable[[], Scenario]) -> None:
    scenario = make_scenario()
    model = site_of(scenario.to_toml()).architecture

    def orderly() -> Strategy:
        shapes = upload_shapes(scenario, model)
        return Orderly(base_strategy(scenario, model), PARTITIONS, shapes, seed=scenario.seed)

    alone = final_model(scenario, orderly())
    assert same(alone, final_model(scenario, eavesdrop(scenario, orderly(), null_listener)))


def test_the_listener_sees_every_upload_and_the_model_that_it_answers() -> None:
    scenario = gradients()
    seen: list[tuple[int, dict[str, Tensor], Sequence[Upload]]] = []

    def listener(server_round: int, arrays: ArrayRecord, uploads: Sequence[Upload]) -> None:
        seen.append((server_round, dict(arrays.to_torch_state_dict()), uploads))

    final = final_model(scenario, eavesdrop(scenario, fed_sgd(), listener))
    assert [server_round for server_round, _, _ in seen] == [1, 2, 3]
    assert same(seen[0][1], global_weights(scenario))
    for (_, before, uploads), after in zip(seen, [seen[1][1], seen[2][1], final], strict=True):
        assert [u.partition for u in uploads] == [0, 1, 2]
        for name in before:
            mean = torch.stack([u.arrays[name] for u in uploads]).mean(0)
            torch.testing.assert_close(after[name], before[name] - 0.5 * mean)


def test_a_listener_that_fails_ends_the_run() -> None:
    def listener(server_round: int, arrays: ArrayRecord, uploads: Sequence[Upload]) -> None:
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        final_model(gradients(), eavesdrop(gradients(), fed_sgd(), listener))


class Recorder(Strategy):
    """A strategy that answers each call with a token of its own."""

    def __init__(self) -> None:
        self.calls: list[tuple[object, ...]] = []
        self.metrics = MetricRecord({"x": 1.0})

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        self.calls.append(("configure_train", server_round, arrays, config, grid))
        return []

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        self.calls.append(("aggregate_train", server_round, list(replies)))
        return None, self.metrics

    def configure_evaluate(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        self.calls.append(("configure_evaluate", server_round, arrays, config, grid))
        return []

    def aggregate_evaluate(
        self, server_round: int, replies: Iterable[Message]
    ) -> MetricRecord | None:
        self.calls.append(("aggregate_evaluate", server_round, list(replies)))
        return self.metrics

    def summary(self) -> None:
        self.calls.append(("summary",))


@pytest.mark.parametrize("wrap", [Delegate, lambda s: eavesdrop(gradients(), s, null_listener)])
def test_every_call_is_passed_on(wrap: Callable[[Strategy], Strategy]) -> None:
    inner = Recorder()
    outer = wrap(inner)
    arrays, config = ArrayRecord(), ConfigRecord()
    grid = InlineGrid(make_client_app(gradients().to_toml()), 1)
    assert list(outer.configure_train(1, arrays, config, grid)) == []
    assert outer.aggregate_train(1, iter([])) == (None, inner.metrics)
    assert list(outer.configure_evaluate(2, arrays, config, grid)) == []
    assert outer.aggregate_evaluate(2, iter([])) is inner.metrics
    outer.summary()
    assert inner.calls == [
        ("configure_train", 1, arrays, config, grid),
        ("aggregate_train", 1, []),
        ("configure_evaluate", 2, arrays, config, grid),
        ("aggregate_evaluate", 2, []),
        ("summary",),
    ]


class SilentGrid(InlineGrid):
    """A grid on which the client of partition 1 does not answer in time."""

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> Iterable[Message]:
        heard = super().send_and_receive(messages, timeout=timeout)
        return [reply for reply in heard if PARTITIONS[reply.metadata.src_node_id] != 1]


def test_a_client_that_never_replies_is_named() -> None:
    seen: list[Upload] = []
    scenario = gradients()
    inner = base_strategy(scenario, site_of(scenario.to_toml()).architecture)
    spy = eavesdrop(scenario, inner, lambda server_round, arrays, uploads: seen.extend(uploads))
    grid = SilentGrid(make_client_app(scenario.to_toml()), scenario.num_clients)
    result = spy.start(grid, ArrayRecord(global_weights(scenario)), num_rounds=1)
    assert [(u.partition, u.problem is None) for u in seen] == [(0, True), (1, False), (2, True)]
    assert "no reply" in str(seen[1].problem)
    assert result.arrays
