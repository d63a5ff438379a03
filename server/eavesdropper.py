"""A strategy that reads every upload and changes nothing."""

from collections.abc import Callable, Iterable, Mapping, Sequence

from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Strategy

from fedsim.server.delegate import Delegate
from fedsim.server.uploads import Shapes, Upload, read_upload

OnUploads = Callable[[int, ArrayRecord, Sequence[Upload]], None]
"""``(server_round, the global model that was sent, uploads sorted by partition)``."""


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
    """

    def __init__(
        self,
        strategy: Strategy,
        partitions: Mapping[int, int],
        shapes: Shapes,
        on_uploads: OnUploads,
    ) -> None:
        super().__init__(strategy)
        self._partitions = partitions
        self._shapes = shapes
        self._on_uploads = on_uploads
        self._sent = ArrayRecord()
        self._asked: set[int] = set()

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Return the wrapped strategy's messages, and store their recipients and contents."""
        self._sent = arrays
        messages = list(super().configure_train(server_round, arrays, config, grid))
        self._asked = {self._partitions[m.metadata.dst_node_id] for m in messages}
        return messages

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Pass the uploads to the listener and return the wrapped strategy's aggregate."""
        replies = list(replies)
        uploads = [
            read_upload(reply, self._partitions[reply.metadata.src_node_id], self._shapes)
            for reply in replies
        ]
        silent = self._asked - {upload.partition for upload in uploads}
        uploads += [Upload(partition, problem=NO_REPLY) for partition in silent]
        self._on_uploads(server_round, self._sent, sorted(uploads, key=lambda u: u.partition))
        return super().aggregate_train(server_round, replies)
