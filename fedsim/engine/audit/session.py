"""State of one audit: the run folder, the clients that were seen, and the attacks."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace

from flwr.app import ArrayRecord, Message
from flwr.serverapp import Grid
from torch import Tensor

from fedsim.core.arrays import tensors_of
from fedsim.core.errors import RunError, UploadError
from fedsim.engine.audit.opened import OpenFolder
from fedsim.engine.audit.plan import AuditPlan
from fedsim.engine.audit.quiet import harmless
from fedsim.engine.audit.sums import sum_of
from fedsim.engine.observer import Observer
from fedsim.log.schema import NoteRecord
from fedsim.log.writer import RunLog
from fedsim.server.eavesdropper import NO_REPLY
from fedsim.server.foreign import named_as, read_foreign, reported_partition
from fedsim.server.secure.foreign import AppSum
from fedsim.server.uploads import Sum, Upload


class Session:
    """Attacks the uploads of an app and writes a run folder; never raises an error.

    Args:
        plan: the plan; or a function of the first node that replies and the round, which makes it.
        log: the run folder.
        observer: observer of the run.
    """

    def __init__(
        self, plan: AuditPlan | Callable[[int, int], AuditPlan], log: RunLog, observer: Observer
    ) -> None:
        self._plan, self.log, self._observer = plan, log, observer
        self._strategy, self._rounds, self._began = "", 1, time.monotonic()
        self._nodes: list[int] = []
        self._held: dict[int, int] = {}
        self._reported: dict[int, int] = {}
        self._notes: list[NoteRecord] = []
        self._opened: OpenFolder | None = None
        self._asked: dict[int, ArrayRecord] = {}
        self._ended = False

    @property
    def notes(self) -> list[str]:
        """Remarks that are not in the log yet, because the run folder could not be begun."""
        return [] if self._opened is not None else [note.text for note in self._notes]

    def begin(self, strategy: str, rounds: int) -> None:
        """Take note of the start of the training."""
        self._strategy, self._rounds, self._began = strategy, rounds, time.monotonic()

    def sent(self, server_round: int, messages: Sequence[Message], grid: Grid) -> None:
        """Take note of the messages of a round.

        Args:
            server_round: the round.
            messages: the train messages.
            grid: the grid, which knows the nodes.
        """
        with self._harmless(server_round):
            self._nodes += [node for node in grid.get_node_ids() if node not in self._nodes]
            self._asked = {m.metadata.dst_node_id: _arrays_of(m) for m in messages}

    def received(self, server_round: int, replies: Sequence[Message]) -> None:
        """Attack the uploads of a round, if the plan says so, and record them."""
        with self._harmless(server_round):
            usable = [reply for reply in replies if not reply.has_error()]
            reported = {
                reply.metadata.src_node_id: partition
                for reply in usable
                if (partition := reported_partition(reply)) is not None
            }
            partitions = self._partitions(reported, len(usable))
            plan = self._planned(server_round, [r.metadata.src_node_id for r in usable])
            state = plan.architecture.state_dict()
            shapes = {k: tuple(v.shape) for k, v in state.items()}
            uploads = [
                read_foreign(reply, partitions[reply.metadata.src_node_id], shapes)
                for reply in replies
            ]
            seen = {upload.partition for upload in uploads}
            silent = {partitions[node] for node in self._asked} - seen
            uploads += [Upload(partition, problem=NO_REPLY) for partition in silent]
            uploads.sort(key=lambda upload: upload.partition)
            sent = named_as(tensors_of(self._sent(server_round)), shapes)
            opened = self._opened or self._open(plan, uploads, sent)
            opened.attack(server_round, {**state, **sent}, uploads)

    def summed(self, total: AppSum, grid: Grid) -> None:
        """Attack the sum of a round's uploads, the only thing that the server sees of them."""
        with self._harmless(total.server_round):
            self._nodes += [node for node in grid.get_node_ids() if node not in self._nodes]
            partitions = self._partitions(total.reported, len(total.examples))
            first = min(total.examples, key=partitions.__getitem__)
            plan = self._planned(total.server_round, [first])
            if plan.aggregation is None:
                self._plan = plan = replace(plan, aggregation=total.plan)
            state = plan.architecture.state_dict()
            sent, mean = (_named(each, state) for each in (total.sent, total.mean))
            seen = sum_of(total, partitions, mean)
            opened = self._opened or self._open(plan, [seen], sent)
            opened.attack_sum(total.server_round, {**state, **sent}, seen)

    def end(self, error: BaseException | None) -> None:
        """Close the run folder."""
        if self._ended:
            return
        self._ended = True
        with self._harmless(None):
            opened = self._opened or self._open(self._planned(0, []), [], {})
            stopped = isinstance(error, KeyboardInterrupt)
            status = "finished" if error is None else "interrupted" if stopped else "failed"
            reason = None if error is None else f"{type(error).__name__}: {error}"
            opened.recorder.end(status, reason, time.monotonic() - self._began)
        self.log.close()

    def accuracy(self, server_round: int, accuracy: float) -> None:
        """Record the accuracy of the global model, as the app measured it."""
        with self._harmless(server_round):
            if self._opened is not None:
                self._opened.recorder.accuracy(server_round, accuracy)

    def note(
        self, text: str, server_round: int | None = None, partition: int | None = None
    ) -> None:
        """Add a remark to the log."""
        record = NoteRecord(round=server_round, partition=partition, text=text)
        if self._opened is None:
            self._notes.append(record)
        else:
            self._opened.recorder.note(record)

    def _harmless(self, server_round: int | None) -> AbstractContextManager[None]:
        return harmless(lambda reason: self.note(f"not audited: {reason}", server_round))

    def _partitions(self, reported: Mapping[int, int], answered: int) -> dict[int, int]:
        """Return the partition of each node: the reported one, or its position in the grid.

        Args:
            reported: the partitions that nodes report.
            answered: number of nodes that answered.
        """
        if len(set(reported.values())) == len(reported) == answered:
            self._reported |= reported
        others = [node for node in self._nodes if node not in self._reported]
        first = 1 + max(self._reported.values(), default=-1)
        found = {**self._reported, **{node: first + i for i, node in enumerate(others)}}
        self._held |= {partition: node for node, partition in found.items()}
        return found

    def _sent(self, server_round: int) -> ArrayRecord:
        """Return the model that was sent in a round.

        Raises:
            UploadError: nothing was sent, or different models to different nodes.
        """
        sent = list(self._asked.values())
        if not sent:
            raise UploadError("no train message was sent")
        if any(each is not sent[0] and each != sent[0] for each in sent):
            raise UploadError("the strategy sent different models to different clients")
        return sent[0]

    def _planned(self, server_round: int, nodes: Sequence[int]) -> AuditPlan:
        """Return the plan, made from the first node that replied if it depends on it.

        Raises:
            RunError: there is no reply to make it from.
        """
        if isinstance(self._plan, AuditPlan):
            return self._plan
        if not nodes:
            raise RunError("no client replied")
        self._plan = self._plan(nodes[0], server_round)
        return self._plan

    def _open(
        self,
        plan: AuditPlan,
        uploads: Sequence[Upload | Sum],
        sent: Mapping[str, Tensor],
    ) -> OpenFolder:
        """Write the beginning of the run folder, now that the clients are known."""
        self._opened = opened = OpenFolder(
            plan,
            self.log,
            self._observer,
            self.note,
            strategy=self._strategy,
            rounds=self._rounds,
            nodes=self._held,
            uploads=uploads,
            sent=sent,
        )
        for record in self._notes:
            opened.recorder.note(record)
        opened.begin()
        return opened


def _named(tensors: Sequence[Tensor], state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors in the order of an app under the names of a model's state.

    Raises:
        UploadError: they are not those of the model.
    """
    shapes = {k: tuple(v.shape) for k, v in state.items()}
    return named_as({str(i): tensor for i, tensor in enumerate(tensors)}, shapes)


def _arrays_of(message: Message) -> ArrayRecord:
    """Return the arrays of a train message.

    Raises:
        UploadError: there is not exactly one record of them.
    """
    records = list(message.content.array_records.values())
    if len(records) != 1:
        raise UploadError(f"a train message has {len(records)} records of arrays: expected one")
    return records[0]
