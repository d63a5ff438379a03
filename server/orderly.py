"""Reproducible rounds that are robust to broken uploads."""

import copy
import random
from collections.abc import Iterable, Mapping, Sequence

from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.proto.node_pb2 import NodeInfo
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Strategy

from fedsim.core.seeds import derive
from fedsim.server.delegate import Delegate
from fedsim.server.grids import DelegateGrid
from fedsim.server.uploads import Shapes, read_upload


class Orderly(Delegate):
    """Gives the wrapped strategy the same cohorts and the same order of replies every time.

    Flower's node ids and sampling are random and replies come in the order of completion. Here the
    cohort of a round is drawn from the sorted partitions by the run's seed, and the wrapped
    strategy, which should take all the nodes that it sees, sees no others. Replies are sorted by
    partition. Unusable replies are dropped, and of the others the wrapped strategy sees only the
    records and metrics that they have in common: otherwise one client with a NaN, a missing tensor
    or an additional metric would end the run or damage the global model.

    Args:
        strategy: the wrapped strategy.
        partitions: the partition of each node, by node id.
        shapes: the shapes of a usable upload.
        seed: the run's seed.
        fraction: share of the clients in each round, at least one client.
    """

    def __init__(
        self,
        strategy: Strategy,
        partitions: Mapping[int, int],
        shapes: Shapes,
        *,
        seed: int,
        fraction: float = 1.0,
    ) -> None:
        super().__init__(strategy)
        self._partitions = partitions
        self._shapes = shapes
        self._seed = seed
        self._fraction = fraction

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Return the wrapped strategy's messages to this round's cohort, sorted."""
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
        usable = [r for r in ordered if read_upload(r, 0, self._shapes).problem is None]
        if not usable:
            return None, None
        return self.strategy.aggregate_train(server_round, _in_common(usable))


def draw_cohort(
    seed: int, server_round: int, partitions: Sequence[int], fraction: float
) -> list[int]:
    """Return the sorted partitions that take part in a round; a pure function."""
    size = max(1, round(len(partitions) * fraction))
    rng = random.Random(derive(seed, "cohort", server_round))  # noqa: S311  (not a secret)
    return sorted(rng.sample(list(partitions), size))


def _in_common(replies: Sequence[Message]) -> list[Message]:
    """Return copies of usable replies, restricted to common records and metrics.

    Flower's strategies end the run if the names of a reply differ from the others'.
    """
    numbers = [_numbers(r) for r in replies]
    shared = set.intersection(*(set(n) for n in numbers))
    alike = []
    for reply, own in zip(replies, numbers, strict=True):
        [arrays] = reply.content.array_records.values()
        metrics = MetricRecord({k: v for k, v in own.items() if k in shared})
        alike.append(copy.copy(reply))
        alike[-1].content = RecordDict({"arrays": arrays, "metrics": metrics})
    return alike


def _numbers(reply: Message) -> dict[str, int | float]:
    [metrics] = reply.content.metric_records.values()
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
