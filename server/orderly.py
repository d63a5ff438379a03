"""Reproducible rounds that are robust to broken uploads."""

import copy
import random
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import torch
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.proto.node_pb2 import NodeInfo
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Strategy

from fedsim.core.arrays import of_kind, quick, tensors_of
from fedsim.core.seeds import derive
from fedsim.server.delegate import Delegate
from fedsim.server.grids import DelegateGrid
from fedsim.server.readings import Readings
from fedsim.server.standing_out import OnNote, blame, no_note
from fedsim.server.uploads import NO_LIMITS, Limits, Shapes


class Orderly(Delegate):
    """Gives the wrapped strategy the same cohorts and the same order of replies every time.

    Flower's node ids and sampling are random and replies come in the order of completion. Here the
    cohort of a round is drawn from the sorted partitions by the run's seed, and the wrapped
    strategy, which should take all the nodes that it sees, sees no others. Replies are sorted by
    partition. Unusable replies are dropped, and of the others the wrapped strategy sees only the
    records and metrics that they have in common, in the model's types: otherwise one client with a
    NaN, a missing tensor, half precision or an additional metric would end the run or damage the
    global model. If a round's result is not finite all the same, as a learning rate can make it,
    the global model stays as it was, with a remark on the client.

    Args:
        strategy: the wrapped strategy.
        partitions: the partition of each node, by node id.
        shapes: the shapes of a usable upload.
        seed: the run's seed.
        fraction: share of the clients in each round, at least one client.
        limits: types of the values, and numbers of examples.
        on_note: called with each remark.
        summed: whether a reply is the mean of several clients', so that none can be blamed.
        readings: where replies are read, shared with a strategy around this one.
    """

    def __init__(
        self,
        strategy: Strategy,
        partitions: Mapping[int, int],
        shapes: Shapes,
        *,
        seed: int,
        fraction: float = 1.0,
        limits: Limits = NO_LIMITS,
        on_note: OnNote = no_note,
        summed: bool = False,
        readings: Readings | None = None,
    ) -> None:
        super().__init__(strategy)
        self._partitions = partitions
        self._shapes, self._limits = shapes, limits
        self._seed = seed
        self._fraction = fraction
        self._on_note, self._summed = on_note, summed
        self._readings = readings or Readings()
        self._current = ArrayRecord()

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Return the wrapped strategy's messages to this round's cohort, sorted."""
        self._current = arrays
        nodes = {partition: node for node, partition in self._partitions.items()}
        cohort = draw_cohort(self._seed, server_round, sorted(nodes), self._fraction)
        view = _CohortGrid(grid, [nodes[p] for p in cohort])
        messages = self.strategy.configure_train(server_round, arrays, config, view)
        return sorted(messages, key=lambda m: self._partitions[m.metadata.dst_node_id])

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Return the wrapped strategy's aggregate of the usable replies, sorted."""
        ordered = sorted(replies, key=lambda r: self._partitions[r.metadata.src_node_id])
        usable = [r for r in ordered if self._is_usable(r)]
        self._readings.forget()
        if not usable:
            return None, None
        alike = _alike(usable, self._limits.types)
        arrays, metrics = self.strategy.aggregate_train(server_round, alike)
        if arrays is None or self._is_finite(arrays):
            return arrays, metrics
        self._say_not_finite(server_round, alike)
        return self._current, MetricRecord()

    def _is_usable(self, reply: Message) -> bool:
        partition = self._partitions[reply.metadata.src_node_id]
        read = self._readings.read(reply, partition, self._shapes, self._limits)
        return read.problem is None

    def _is_finite(self, arrays: ArrayRecord) -> bool:
        """Return whether all values are finite in the model's types."""
        for name, array in tensors_of(arrays).items():
            kind = self._limits.types.get(name, array.dtype)
            if kind.is_floating_point and not bool(torch.isfinite(array.to(kind)).all()):
                return False
        return True

    def _say_not_finite(self, server_round: int, replies: Sequence[Message]) -> None:
        """Remark on the client whose upload made the result of a round not finite."""
        said = "the result of the round is not finite, and the global model stays as it was"
        if self._summed:
            self._on_note(server_round, None, f"{said}; single uploads are hidden")
            return
        largest = {self._partitions[r.metadata.src_node_id]: _largest(r) for r in replies}
        partition, why = blame(largest)
        self._on_note(server_round, partition, f"{said}: {why}")


def draw_cohort(
    seed: int, server_round: int, partitions: Sequence[int], fraction: float
) -> list[int]:
    """Return the sorted partitions that take part in a round; a pure function."""
    size = max(1, round(len(partitions) * fraction))
    rng = random.Random(derive(seed, "cohort", server_round))  # noqa: S311  (not a secret)
    return sorted(rng.sample(list(partitions), size))


def _alike(replies: Sequence[Message], types: Mapping[str, torch.dtype]) -> list[Message]:
    """Return copies of usable replies, restricted to common metrics and in the model's types.

    Flower's strategies end the run if the names of a reply differ from the others', and compute
    in the type of the first reply.
    """
    numbers = [_numbers(r) for r in replies]
    shared = set.intersection(*(set(n) for n in numbers))
    alike = []
    for reply, own in zip(replies, numbers, strict=True):
        [arrays] = of_kind(reply.content, ArrayRecord).values()
        metrics = MetricRecord({k: v for k, v in own.items() if k in shared})
        alike.append(copy.copy(reply))
        alike[-1].content = RecordDict({"arrays": _in_types(arrays, types), "metrics": metrics})
    return alike


def _in_types(arrays: ArrayRecord, types: Mapping[str, torch.dtype]) -> ArrayRecord:
    """Return arrays in the model's types; those in the right one are not copied."""
    return quick({k: _in_type(array, types.get(k)) for k, array in arrays.items()})


def _in_type(array: Array, kind: torch.dtype | None) -> Array:
    wanted = str(kind).removeprefix("torch.")
    if kind is None or array.dtype == wanted:
        return array
    values = array.numpy()
    return Array((values if kind.is_floating_point else np.rint(values)).astype(wanted))


def _largest(reply: Message) -> float:
    """Return the largest absolute value of a usable reply."""
    [arrays] = of_kind(reply.content, ArrayRecord).values()
    return max((float(np.abs(a.numpy()).max(initial=0)) for a in arrays.values()), default=0.0)


def _numbers(reply: Message) -> dict[str, int | float]:
    [metrics] = of_kind(reply.content, MetricRecord).values()
    return {k: v for k, v in metrics.items() if isinstance(v, int | float)}


class _CohortGrid(DelegateGrid):
    """A grid that shows only some nodes; everything else is delegated."""

    def __init__(self, grid: Grid, node_ids: Sequence[int]) -> None:
        super().__init__(grid)
        self._node_ids = node_ids

    def get_node_ids(self) -> Iterable[int]:
        return list(self._node_ids)

    def get_nodes(self) -> Iterable[NodeInfo]:
        return [n for n in self.grid.get_nodes() if n.node_id in set(self._node_ids)]
