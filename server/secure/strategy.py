"""Secure aggregation as a strategy: the server sees only the sum of the uploads."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Strategy
from torch import Tensor

from fedsim.core.arrays import record_of, tensors_of
from fedsim.core.errors import RunError
from fedsim.core.text import printable
from fedsim.core.vectors import restored, unflat
from fedsim.scenario import Federation
from fedsim.scenario.aggregation import Aggregation
from fedsim.server.delegate import Delegate
from fedsim.server.malicious.isolating import Mixture
from fedsim.server.manipulating import Sent
from fedsim.server.uploads import Shapes, Sum, Upload, read_clear

OnSum = Callable[[int, ArrayRecord, Sum], None]
"""``(server_round, the global model that was sent, the revealed sum)``."""

NOT_ASKED = "the round ended without a sum before this upload was requested"

CLEAR = ("who took part", "num-examples", "upload-bytes")
"""Information on every client that the aggregations do not hide."""


@dataclass(frozen=True, eq=False)
class Revealed:
    """Information that a protocol reveals to the server in one round.

    Attributes:
        mean: mean of the clients' vectors, weighted by their examples; None if there is a problem.
        nodes: the nodes whose vectors are in it.
        clear: the visible part of each client's reply.
        sizes: the bytes of each hidden vector.
        dropped: nodes that dropped out at some stage, with the reason.
        costs: seconds, by stage.
        problem: reason for a missing sum, or None.
        coarser: steps to which values of the mean are rounded, as a multiple of the aggregation's
            resolution.
    """

    mean: Tensor | None
    nodes: Collection[int] = ()
    clear: Mapping[int, RecordDict] = field(default_factory=dict)
    sizes: Mapping[int, int] = field(default_factory=dict)
    dropped: Mapping[int, str] = field(default_factory=dict)
    costs: Mapping[str, float] = field(default_factory=dict)
    problem: str | None = None
    coarser: float = 1.0


class Protocol(ABC):
    """Protocol that computes the weighted mean of vectors hidden from the server."""

    @abstractmethod
    def reveal(
        self, grid: Grid, server_round: int, messages: Sequence[Message], size: int
    ) -> Revealed:
        """Run one round; no behaviour of a client raises an exception.

        Args:
            grid: the grid with the clients.
            server_round: the round.
            messages: the train messages to the round's cohort.
            size: number of values in each client's vector.
        """

    def broken(self, invented: int) -> Protocol:
        """Return the protocol of a server that asks some clients and plays others itself.

        Args:
            invented: number of clients that it plays.

        Raises:
            RunError: this protocol has no such form.
        """
        raise RunError(
            f"adversary.malicious: no clients can be invented under {type(self).__name__}; use "
            "aggregation = 'secagg+' or 'ckks'"
        )


ProtocolOf = Callable[[Aggregation, Federation, Mapping[int, int], int], Protocol]
"""``(aggregation, federation, partition of each node, most examples of a client)`` to the protocol;
named by `Aggregation.server`."""


class SecureAggregation(Delegate):
    """Passes the mean of the uploads to the wrapped strategy instead of the uploads.

    The wrapped strategy gets one reply: the mean, as if it were the upload of one client with
    all examples. A strategy that treats clients differently cannot be wrapped in this.

    Args:
        strategy: the wrapped strategy.
        protocol: computes the mean.
        partitions: the partition of each node, by node id.
        shapes: the shape of each tensor of an upload.
        gradients: names of the tensors that are gradients, not values.
        on_sum: called with the revealed sum before the wrapped strategy takes its step.
        changed: the changed model of the round, if the wrapped strategy sends one.
        unit: units of a gradient per unit of a change of the weights; 1 if gradients are uploaded.
    """

    def __init__(
        self,
        strategy: Strategy,
        protocol: Protocol,
        partitions: Mapping[int, int],
        shapes: Shapes,
        gradients: Collection[str],
        on_sum: OnSum,
        changed: Callable[[], Sent | None] = lambda: None,
        *,
        unit: float = 1.0,
    ) -> None:
        super().__init__(strategy)
        self._protocol = protocol
        self._partitions = partitions
        self._shapes = shapes
        self._gradients = frozenset(gradients)
        self._on_sum = on_sum
        self._changed, self._unit = changed, unit
        self._sent = ArrayRecord()
        self._asked: tuple[Grid, Sequence[Message]] | None = None

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Store the wrapped strategy's messages for the protocol, and return none to Flower."""
        messages = list(super().configure_train(server_round, arrays, config, grid))
        changed = self._changed()
        self._sent = arrays if changed is None else changed.arrays
        self._asked = (grid, messages)
        return []

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Run the protocol and return the wrapped strategy's aggregate of the mean."""
        if self._asked is None:
            return None, None
        grid, messages = self._asked
        total = self._sum(grid, server_round, messages)
        self._on_sum(server_round, self._sent, total)
        if total.problem is not None:
            return None, None
        return super().aggregate_train(server_round, [_reply(total, messages[0])])

    def _sum(self, grid: Grid, server_round: int, messages: Sequence[Message]) -> Sum:
        began = time.monotonic()
        changed = self._changed()
        shapes = self._shapes if changed is None else changed.sent_shapes
        size = sum(torch.Size(shape).numel() for shape in shapes.values())
        protocol = self._protocol
        if changed is not None and changed.isolation is not None:
            invented = changed.isolation.invented
            protocol = protocol if invented is None else protocol.broken(invented)
        revealed = protocol.reveal(grid, server_round, messages, size)
        asked = [m.metadata.dst_node_id for m in messages]
        uploads = [self._clear(node, revealed) for node in asked]
        dropped = {self._partitions[n]: printable(why) for n, why in revealed.dropped.items()}
        partitions = tuple(sorted(self._partitions[n] for n in revealed.nodes))
        arrays: Mapping[str, Tensor] = {}
        isolated: tuple[Upload, ...] = ()
        problem = None if revealed.problem is None else printable(revealed.problem)
        if revealed.mean is not None:
            changes = unflat(revealed.mean, shapes)
            if changed is not None and changed.isolation is not None:
                found = changed.isolation.separate(_mixture(changes, uploads, self._unit))
                isolated = _taken_apart(changed, found, uploads)
                if not isolated:
                    problem = "none of the clients that the server meant to read is in the sum"
            else:
                received = tensors_of(self._sent)
                gradients = self._gradients if changed is None else changed.gradients
                arrays = restored(changes, received, gradients)
        counts = [u.metrics["num-examples"] for u in uploads if u.problem is None]
        return Sum(
            partitions,
            arrays,
            round(sum(counts)),
            tuple(sorted(uploads, key=lambda u: u.partition)),
            dropped,
            {**revealed.costs, "seconds": time.monotonic() - began},
            problem,
            isolated,
            revealed.coarser,
        )

    def _clear(self, node: int, revealed: Revealed) -> Upload:
        partition = self._partitions[node]
        if node not in revealed.clear:
            return Upload(partition, problem=printable(revealed.dropped.get(node, NOT_ASKED)))
        upload = read_clear(revealed.clear[node], partition)
        metrics = {**upload.metrics, "upload-bytes": float(revealed.sizes[node])}
        return replace(upload, arrays={}, metrics=metrics)


def _mixture(changes: Mapping[str, Tensor], uploads: Sequence[Upload], unit: float) -> Mixture:
    """Return a revealed mean, with the number of examples of each client in it."""
    examples = {u.partition: u.metrics["num-examples"] for u in uploads if u.problem is None}
    return Mixture(changes, examples, unit)


def _taken_apart(
    sent: Sent, found: Mapping[int, Mapping[str, Tensor]], uploads: Sequence[Upload]
) -> tuple[Upload, ...]:
    """Return the uploads of single clients that a malicious server takes out of a sum.

    Args:
        sent: what the server sent.
        found: the changes of each of these clients, by client and name.
        uploads: the visible part of each client's reply.
    """
    clear = {u.partition: u for u in uploads if u.problem is None}
    total = sum(u.metrics["num-examples"] for u in clear.values())
    read = tensors_of(sent.arrays)
    return tuple(
        replace(
            clear[client],
            arrays=restored(changes, read, sent.gradients),
            rounding=total / clear[client].metrics["num-examples"],
        )
        for client, changes in sorted(found.items())
    )


def clear_of(total: Sum) -> tuple[str, ...]:
    """Return the names of what the server has seen of single clients in a round."""
    loss = ("loss",) if any(_tells(u) for u in total.uploads) else ()
    did = ("defenses",) if any(u.did for u in total.uploads) else ()
    lengths = ("how many tokens each text has",) if total.lengths else ()
    return (*CLEAR, *loss, *did, *lengths)


def _reply(total: Sum, message: Message) -> Message:
    """Return the mean as the reply of an arbitrary client."""
    losses = [(u.metrics["loss"], u.metrics["num-examples"]) for u in total.uploads if _tells(u)]
    metrics = MetricRecord({"num-examples": total.examples})
    if losses:
        metrics["loss"] = sum(x * n for x, n in losses) / sum(n for _, n in losses)
    content = RecordDict({"arrays": record_of(total.arrays), "metrics": metrics})
    return Message(content, reply_to=message)


def _tells(upload: Upload) -> bool:
    return upload.problem is None and "loss" in upload.metrics
