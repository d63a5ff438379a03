"""Continuation of federated rounds from a checkpoint."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Strategy

from fedsim.server.delegate import Delegate


@dataclass(frozen=True, eq=False)
class Start:
    """Start of federated rounds.

    Attributes:
        after: the last round that was done; 0 before the first.
        arrays: the global model after it.
    """

    after: int
    arrays: ArrayRecord


class Continuing(Delegate):
    """Wraps the outermost strategy and leaves out the rounds that were done before.

    Flower counts rounds from 1; those up to the start ask no client, and give back its model.

    Args:
        strategy: the wrapped strategy.
        start: where the rounds begin.
    """

    def __init__(self, strategy: Strategy, start: Start) -> None:
        super().__init__(strategy)
        self._start = start

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Return the wrapped strategy's messages; none in a round that was done."""
        if server_round <= self._start.after:
            return []
        return super().configure_train(server_round, arrays, config, grid)

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Return the wrapped strategy's aggregate; the start's model in a round that was done."""
        if server_round <= self._start.after:
            return self._start.arrays, None
        return super().aggregate_train(server_round, replies)

    def configure_evaluate(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Return the wrapped strategy's messages; none in a round that was done."""
        if server_round <= self._start.after:
            return []
        return super().configure_evaluate(server_round, arrays, config, grid)
