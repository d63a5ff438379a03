"""A strategy that reads every upload and changes nothing."""

from collections.abc import Callable, Iterable, Mapping, Sequence

from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Strategy

from fedsim.server.delegate import Delegate
from fedsim.server.manipulating import Sent
from fedsim.server.readings import Readings
from fedsim.server.uploads import NO_LIMITS, Limits, Shapes, Upload

OnUploads = Callable[[int, ArrayRecord, Sequence[Upload]], None]
"""``(server_round, the global model that was sent, uploads sorted by partition)``."""


SentNow = Callable[[], Sent | None]
"""Returns the changed model of the round; None if all clients got the honest one."""

NO_REPLY = "no reply within the time limit of the round"


class Eavesdropper(Delegate):
    """Wraps any Flower strategy and shows each round's uploads to a listener.

    Training is not affected: the wrapped strategy gets the original replies, and the listener gets
    copies of their contents.

    Args:
        strategy: the wrapped strategy.
        partitions: the partition of each node, by node id.
        shapes: the shape of each tensor of an upload.
        on_uploads: the listener; called before the wrapped strategy aggregates.
        changed: the changed model of the round, if the wrapped strategy sends one. The listener
            then gets it instead of the global model.
        limits: types of the values, and numbers of examples.
        readings: where replies are read, shared with the wrapped strategy.
    """

    def __init__(
        self,
        strategy: Strategy,
        partitions: Mapping[int, int],
        shapes: Shapes,
        on_uploads: OnUploads,
        changed: SentNow = lambda: None,
        limits: Limits = NO_LIMITS,
        readings: Readings | None = None,
    ) -> None:
        super().__init__(strategy)
        self._partitions = partitions
        self._shapes, self._limits = shapes, limits
        self._on_uploads = on_uploads
        self._changed = changed
        self._readings = readings or Readings()
        self._sent = ArrayRecord()
        self._asked: set[int] = set()

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Return the wrapped strategy's messages, and store their recipients and contents."""
        messages = list(super().configure_train(server_round, arrays, config, grid))
        self._asked = {self._partitions[m.metadata.dst_node_id] for m in messages}
        changed = self._changed()
        self._sent = arrays if changed is None else changed.arrays
        return messages

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Pass the uploads to the listener and return the wrapped strategy's aggregate."""
        replies = list(replies)
        uploads = [
            self._readings.read(reply, partition, self._expected(partition), self._limits)
            for reply in replies
            for partition in [self._partitions[reply.metadata.src_node_id]]
        ]
        silent = self._asked - {upload.partition for upload in uploads}
        uploads += [Upload(partition, problem=NO_REPLY) for partition in silent]
        self._on_uploads(server_round, self._sent, sorted(uploads, key=lambda u: u.partition))
        return super().aggregate_train(server_round, replies)

    def _expected(self, partition: int) -> Shapes:
        """Return the shape of each tensor of a client's upload."""
        changed = self._changed()
        if changed is None or partition not in changed.partitions:
            return self._shapes
        return changed.shapes
