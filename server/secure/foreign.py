"""Sums of an app's own secure aggregation, as Flower's workflow of SecAgg+ reveals them.

Flower's Message API has no secure aggregation: apps use the workflow that was written before it,
with a strategy of ``flwr.server.strategy`` and the mod ``secaggplus_mod``.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from flwr.common import FitRes, parameters_to_ndarrays
from flwr.compat.common.recorddict_compat import arrayrecord_to_parameters
from flwr.server import LegacyContext
from flwr.server.workflow import DefaultWorkflow, SecAggPlusWorkflow
from flwr.server.workflow.constant import MAIN_PARAMS_RECORD
from flwr.serverapp import Grid
from torch import Tensor

from fedsim.core.errors import RunError
from fedsim.scenario.aggregation import SecAggPlus
from fedsim.server.foreign import PARTITION_KEY

LEAST_STEPS = 2**8
DROPPED = "it dropped out before its masked upload was complete"


@dataclass(frozen=True, eq=False)
class AppSum:
    """Result of one round of an app's secure aggregation, as the server sees it.

    Attributes:
        server_round: the round.
        strategy: name of the strategy that takes the sum.
        rounds: number of rounds of the training.
        sent: the tensors that the clients received, in the order of the app.
        mean: mean of the clients' tensors, weighted by their examples.
        examples: number of examples of each node in it, which is not hidden.
        reported: the partition of each node that reports one among its metrics.
        dropped: nodes that were asked and are not in it.
        plan: the protocol's parameters. Clients round their tensors after scaling them by their
            share of ``max_weight``, so the mean has fewer steps than their range.
    """

    server_round: int
    strategy: str
    rounds: int
    sent: Sequence[Tensor]
    mean: Sequence[Tensor]
    examples: Mapping[int, int]
    reported: Mapping[int, int]
    dropped: Sequence[int]
    plan: SecAggPlus


@contextmanager
def sums_watched(clients: int, on_sum: Callable[[AppSum, Grid], None]) -> Iterator[None]:
    """Context in which the sums of Flower's SecAgg+ are watched; they are not changed.

    Args:
        clients: number of clients of the simulation.
        on_sum: called with each sum before the app's strategy takes it; must not raise.
    """
    start, unmask = DefaultWorkflow.__call__, SecAggPlusWorkflow.unmask_stage

    @functools.wraps(start)
    def started(self: DefaultWorkflow, grid: Grid, context: Any) -> None:
        check_clients(getattr(context, "strategy", None), "min_available_clients", clients)
        start(self, grid, context)

    @functools.wraps(unmask)
    def unmasked(self: SecAggPlusWorkflow, grid: Grid, context: LegacyContext, state: Any) -> bool:
        strategy: Any = context.strategy
        sent = parameters_to_ndarrays(
            arrayrecord_to_parameters(context.state.array_records[MAIN_PARAMS_RECORD], True)
        )
        asked, plain, own = set(state.sampled_node_ids), strategy.aggregate_fit, vars(strategy)
        before = own.get("aggregate_fit")

        def aggregate_fit(server_round: int, results: list[Any], failures: Any) -> Any:
            found = _sum(self, server_round, context, sent, asked, results)
            if found is not None:
                on_sum(found, grid)
            return plain(server_round, results, failures)

        strategy.aggregate_fit = aggregate_fit
        try:
            return unmask(self, grid, context, state)
        finally:
            del strategy.aggregate_fit
            if before is not None:
                strategy.aggregate_fit = before

    DefaultWorkflow.__call__ = started  # type: ignore[method-assign]
    SecAggPlusWorkflow.unmask_stage = unmasked  # type: ignore[method-assign]
    try:
        yield
    finally:
        DefaultWorkflow.__call__ = start  # type: ignore[method-assign]
        SecAggPlusWorkflow.unmask_stage = unmask  # type: ignore[method-assign]


def check_clients(strategy: object, name: str, clients: int) -> None:
    """Refuse a simulation with fewer clients than a strategy waits for, without end.

    Args:
        strategy: the strategy.
        name: its attribute with the least number of clients.
        clients: number of clients of the simulation.

    Raises:
        RunError: there are fewer.
    """
    least = getattr(strategy, name, 0)
    if isinstance(least, int) and least > clients:
        raise RunError(
            f"the app's strategy waits for {least} clients ({name}), and the simulation has "
            f"{clients}: give --clients {least}"
        )


def _sum(
    workflow: SecAggPlusWorkflow,
    server_round: int,
    context: LegacyContext,
    sent: Sequence[Any],
    asked: set[int],
    results: Sequence[tuple[Any, FitRes]],
) -> AppSum | None:
    if not results:
        return None
    examples = {int(proxy.node_id): int(found.num_examples) for proxy, found in results}
    said = {int(proxy.node_id): found.metrics.get(PARTITION_KEY) for proxy, found in results}
    share = sum(examples.values()) / len(examples) / workflow.max_weight
    return AppSum(
        server_round,
        type(context.strategy).__name__,
        context.config.num_rounds,
        _tensors(sent),
        _tensors(parameters_to_ndarrays(results[0][1].parameters)),  # the same for each client
        examples,
        {node: int(p) for node, p in said.items() if isinstance(p, int) and p >= 0},
        sorted(asked - set(examples)),
        SecAggPlus(
            clipping_range=workflow.clipping_range,
            quantization_range=max(LEAST_STEPS, round(workflow.quantization_range * share)),
        ),
    )


def _tensors(arrays: Sequence[Any]) -> list[Tensor]:
    return [torch.from_numpy(np.array(cast(Any, each))) for each in arrays]
