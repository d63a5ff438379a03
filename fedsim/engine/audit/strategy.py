"""A strategy that behaves like the wrapped one and audits its clients' uploads."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Result, Strategy

from fedsim.engine.audit.session import Session
from fedsim.server.delegate import Delegate

ACCURACY = "accuracy"

EvaluateFn = Callable[[int, ArrayRecord], MetricRecord | None]


class Audit(Delegate):
    """Wraps any Flower strategy and audits the uploads of its clients.

    The final model is bit for bit that of the wrapped strategy: it gets the original messages, and
    the audit computes on copies while nothing else runs. Attributes that are not a strategy's are
    those of the wrapped one.

    Args:
        strategy: the wrapped strategy.
        session: the audit.
        on_end: called after the run folder has been closed.
    """

    def __init__(self, strategy: Strategy, session: Session, on_end: Callable[[], None]) -> None:
        super().__init__(strategy)
        self._session, self._on_end = session, on_end
        self._raw: Any = strategy

    def __getattr__(self, name: str) -> Any:
        if name in {"_raw", "strategy"}:  # while the object is made, or copied
            raise AttributeError(name)
        return getattr(self._raw, name)

    def start(
        self,
        grid: Grid,
        initial_arrays: ArrayRecord,
        num_rounds: int = 3,
        timeout: float = 3600,
        train_config: ConfigRecord | None = None,
        evaluate_config: ConfigRecord | None = None,
        evaluate_fn: EvaluateFn | None = None,
    ) -> Result:
        """Run the wrapped strategy's rounds, and finish the audit whatever happens.

        Arguments and result are those of the wrapped strategy.
        """
        measured = None if evaluate_fn is None else self.measuring(evaluate_fn)
        arguments = (num_rounds, timeout, train_config, evaluate_config, measured)
        if type(self.strategy).start is Strategy.start:
            with self.auditing(num_rounds):
                return super().start(grid, initial_arrays, *arguments)
        with self.auditing(num_rounds), self.in_place():
            return self.strategy.start(grid, initial_arrays, *arguments)

    @contextmanager
    def auditing(self, rounds: int) -> Iterator[None]:
        """Context of a whole training, after which the audit is finished whatever happens.

        Args:
            rounds: number of rounds.
        """
        error: BaseException | None = None
        self._session.begin(type(self.strategy).__name__, rounds)
        try:
            yield
        except BaseException as problem:
            error = problem
            raise
        finally:
            self._session.end(error)
            self._on_end()

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Return the wrapped strategy's messages."""
        return self._watched(self.strategy.configure_train, server_round, arrays, config, grid)

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Return the wrapped strategy's aggregate, after the attacks on the replies."""
        return self._attacked(self.strategy.aggregate_train, server_round, replies)

    def _watched(
        self,
        configure: Callable[..., Iterable[Message]],
        server_round: int,
        arrays: ArrayRecord,
        config: ConfigRecord,
        grid: Grid,
    ) -> Iterable[Message]:
        messages = list(configure(server_round, arrays, config, grid))
        self._session.sent(server_round, messages, grid)
        return messages

    def _attacked(
        self,
        aggregate: Callable[..., tuple[ArrayRecord | None, MetricRecord | None]],
        server_round: int,
        replies: Iterable[Message],
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        replies = list(replies)
        self._session.received(server_round, replies)  # before a strategy may change the replies
        return aggregate(server_round, replies)

    def measuring(self, evaluate: EvaluateFn) -> EvaluateFn:
        """Return an evaluation whose accuracy is also recorded."""

        def measuring(server_round: int, arrays: ArrayRecord) -> MetricRecord | None:
            metrics = evaluate(server_round, arrays)
            value = None if metrics is None else metrics.get(ACCURACY)
            if isinstance(value, int | float):
                self._session.accuracy(server_round, float(value))
            return metrics

        return measuring

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Context in which the wrapped strategy itself is audited, for one with its own loop."""
        configure, aggregate = self._raw.configure_train, self._raw.aggregate_train
        own = dict(vars(self._raw))

        def watched(*given: Any, **named: Any) -> Iterable[Message]:
            return self._watched(configure, *given, **named)

        def attacked(*given: Any, **named: Any) -> Any:
            return self._attacked(aggregate, *given, **named)

        self._raw.configure_train, self._raw.aggregate_train = watched, attacked
        try:
            yield
        finally:
            for name in ("configure_train", "aggregate_train"):
                delattr(self._raw, name)
                if name in own:
                    setattr(self._raw, name, own[name])
