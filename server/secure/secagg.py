"""Server side of SecAgg+, with Flower's own workflow.

This is the only module of the server that uses Flower's workflow, which was written for strategies
before Flower's Message API: this module provides the interface that the workflow expects.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import torch
from flwr.app import ArrayRecord, ConfigRecord, Error, Message, RecordDict
from flwr.common import FitIns, Parameters, bytes_to_ndarray, parameters_to_ndarrays
from flwr.common.secure_aggregation.secaggplus_constants import RECORD_KEY_CONFIGS, Key
from flwr.server.workflow import SecAggPlusWorkflow
from flwr.server.workflow.constant import MAIN_CONFIGS_RECORD, MAIN_PARAMS_RECORD
from flwr.server.workflow.constant import Key as WorkflowKey
from flwr.server.workflow.secure_aggregation.secaggplus_workflow import WorkflowState
from flwr.serverapp import Grid
from torch import Tensor

from fedsim.scenario import Federation
from fedsim.scenario.aggregation import MODULUS, SecAggPlus
from fedsim.server.eavesdropper import NO_REPLY
from fedsim.server.grids import DelegateGrid
from fedsim.server.secure.alone import Alone
from fedsim.server.secure.invented import AmongInvented
from fedsim.server.secure.stages import problem_of
from fedsim.server.secure.strategy import Protocol, Revealed
from fedsim.server.uploads import read_clear

STAGES = ("making keys", "sharing keys", "masking", "unmasking")
MASKING = 2
UNUSABLE = 6  # Flower's error code for a reply that violates a protocol


def protocol(
    plan: SecAggPlus, federation: Federation, partitions: Mapping[int, int], most: int
) -> SecAggPlusProtocol:
    """Return the protocol of a run."""
    return SecAggPlusProtocol(plan, most, federation.timeout_s)


class SecAggPlusProtocol(Protocol):
    """SecAgg+ with the parameters of a scenario.

    Args:
        plan: the parameters.
        most_examples: maximum number of examples that a client may claim. Flower scales uploads by
            their share of it, so precision is lost if it is too large.
        timeout_s: maximum time that each of a round's four stages waits for its clients.
    """

    def __init__(self, plan: SecAggPlus, most_examples: int, timeout_s: float) -> None:
        self._plan = plan
        self._most_examples = most_examples
        self._timeout_s = timeout_s

    def broken(self, invented: int) -> Protocol:
        """Return the protocol among invented clients, or with one client alone."""
        if invented == 0:
            return Alone(self._plan, self._most_examples, self._timeout_s)
        return AmongInvented(self, invented)

    def reveal(
        self, grid: Grid, server_round: int, messages: Sequence[Message], size: int
    ) -> Revealed:
        """Run the four stages of one round."""
        watched = _Watched(grid, size, self._most_examples)
        # The sign of the mask between two clients depends on the greater node id: any order will
        # do.
        workflow = _Workflow(
            self._plan.shares_of(len(messages)),
            self._plan.threshold_of(len(messages)),
            max_weight=self._most_examples,
            clipping_range=self._plan.clipping_range,
            quantization_range=self._plan.quantization_range,
            modulus_range=MODULUS,
            timeout=self._timeout_s,
        )
        try:
            mean, problem = workflow.mean(watched, server_round, messages)
        except Exception as error:  # the run continues for any behaviour of a client
            mean, problem = None, f"secagg+ failed: {type(error).__name__}: {error}"
        return Revealed(
            mean=mean,
            nodes=() if mean is None else set(watched.clear),
            clear=watched.clear,
            sizes=watched.sizes,
            dropped=watched.dropped,
            costs={f"{stage} s": s for stage, s in zip(STAGES, watched.seconds, strict=False)},
            problem=problem,
            coarser=_coarser(watched.clear, self._most_examples),
        )


def _coarser(clear: Mapping[int, RecordDict], most: int) -> float:
    """Return the largest claim as a multiple of the clients' mean number of examples.

    Flower multiplies a vector by its client's share of the largest claim before it is rounded.
    """
    claims = [examples for each in clear.values() if (examples := _claimed(each))]
    return most * len(claims) / sum(claims) if claims else 1.0


def _claimed(clear: RecordDict) -> float:
    upload = read_clear(clear, 0)
    return 0.0 if upload.problem is not None else upload.metrics["num-examples"]


class _Workflow(SecAggPlusWorkflow):
    """Flower's workflow, for messages of the Message API.

    Flower's own workflow fails if a client drops out before it has shared its keys: it asks the
    others for shares that they never got. Here such a client is excluded from the later stages.
    """

    def mean(
        self, grid: Grid, server_round: int, messages: Sequence[Message]
    ) -> tuple[Tensor | None, str | None]:
        """Return the mean of the clients' vectors, or the reason for its absence."""
        state, found = WorkflowState(), list[Parameters]()
        context = cast(Any, _context(server_round, messages, found))
        asked = len(messages)
        stages = (self.setup_stage, self.share_keys_stage, self.collect_masked_vectors_stage)
        for number, stage in enumerate(stages):
            if not stage(grid, context, state):
                return None, self._too_few(STAGES[number], asked, state)
            if number < MASKING:
                self._forget_dropped(state)
                # A copy for each client: the workflow adds data for single clients.
                state.nid_to_fitins = {
                    m.metadata.dst_node_id: RecordDict({**m.content}) for m in messages
                }
        if not self.unmask_stage(grid, context, state):
            return None, self._too_few(STAGES[-1], asked, state)
        [vector] = parameters_to_ndarrays(found[0])
        return torch.from_numpy(np.array(vector, dtype=np.float64)), None

    def _too_few(self, stage: str, asked: int, state: WorkflowState) -> str:
        return (
            f"secagg+: {len(state.active_node_ids)} of {asked} clients were left after {stage}, "
            f"too few: each key needs {state.threshold} shares of its client's neighbours"
        )

    def _forget_dropped(self, state: WorkflowState) -> None:
        state.sampled_node_ids = set(state.active_node_ids)
        state.nid_to_neighbours = {
            node: neighbours & state.active_node_ids
            for node, neighbours in state.nid_to_neighbours.items()
            if node in state.active_node_ids
        }


def _context(
    server_round: int, messages: Sequence[Message], found: list[Parameters]
) -> SimpleNamespace:
    """Return an object that serves as the workflow's context; the sum is appended to ``found``."""
    nodes = [SimpleNamespace(node_id=m.metadata.dst_node_id) for m in messages]
    nothing = FitIns(Parameters([], "numpy.ndarray"), {})

    def aggregate_fit(
        server_round: int, results: list[tuple[Any, Any]], failures: object
    ) -> tuple[None, dict[str, float]]:
        found.append(results[0][1].parameters)
        return None, {}

    strategy = SimpleNamespace(
        configure_fit=lambda *_: [(node, nothing) for node in nodes], aggregate_fit=aggregate_fit
    )
    state = RecordDict()
    state.config_records[MAIN_CONFIGS_RECORD] = ConfigRecord(
        {WorkflowKey.CURRENT_ROUND: server_round}
    )
    state.array_records[MAIN_PARAMS_RECORD] = ArrayRecord()
    manager = SimpleNamespace(num_available=lambda: len(nodes))
    return SimpleNamespace(state=state, strategy=strategy, client_manager=manager)


class _Watched(DelegateGrid):
    """A grid that records drop-outs and rejects replies that would spoil the sum."""

    def __init__(self, grid: Grid, size: int, most_examples: int) -> None:
        super().__init__(grid)
        self._size, self._most_examples = size, most_examples
        self._stage, self._nodes = 0, set[int]()
        self.clear: dict[int, RecordDict] = {}
        self.sizes: dict[int, int] = {}
        self.dropped: dict[int, str] = {}
        self.seconds: list[float] = []

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> Iterable[Message]:
        """Return the replies of one stage; unusable ones are errors."""
        began = time.monotonic()
        asked = {m.metadata.dst_node_id: m for m in messages}
        self._nodes |= set(asked)
        replies = [
            self._checked(reply, asked[reply.metadata.src_node_id])
            for reply in super().send_and_receive(asked.values(), timeout=timeout)
        ]
        reasons = dict.fromkeys(asked, NO_REPLY)
        for reply in replies:
            node = reply.metadata.src_node_id
            reasons[node] = str(reply.error.reason) if reply.has_error() else ""
        self.dropped |= {n: f"{STAGES[self._stage]}: {why}" for n, why in reasons.items() if why}
        self.seconds.append(time.monotonic() - began)
        self._stage += 1
        return replies

    def _checked(self, reply: Message, asked: Message) -> Message:
        if reply.has_error():
            return reply
        if self._stage == MASKING:
            problem = self._take(reply)
        else:
            problem = problem_of(self._stage, reply, self._nodes)
        if problem is None:
            return reply
        return Message(Error(code=UNUSABLE, reason=problem), reply_to=asked)

    def _take(self, reply: Message) -> str | None:
        """Record the clear part of a client's reply; return its problem, or None."""
        node = reply.metadata.src_node_id
        clear = read_clear(reply.content, 0)
        if clear.problem is not None:
            return clear.problem
        if clear.metrics["num-examples"] > self._most_examples:
            return f"num-examples exceeds the {self._most_examples} of the scenario"
        try:
            parts = cast(
                list[bytes],
                reply.content.config_records[RECORD_KEY_CONFIGS][Key.MASKED_PARAMETERS],
            )
            vectors = [bytes_to_ndarray(part) for part in parts]
        except Exception as error:  # untrusted bytes can fail to decode with any exception
            return f"the masked vector cannot be decoded: {type(error).__name__}: {error}"
        if [v.shape for v in vectors] != [(1,), (self._size,)]:
            return f"the masked vector does not hold the {self._size} values of an upload"
        if any(v.dtype != np.int64 for v in vectors):
            return f"the masked vector is of {vectors[1].dtype}, expected int64"
        self.clear[node] = reply.content
        self.sizes[node] = sum(map(len, parts))
        return None
