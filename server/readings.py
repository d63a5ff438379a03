"""Replies of a round, each read once for all strategies that look at it."""

from flwr.app import Message

from fedsim.server.uploads import NO_LIMITS, Limits, Shapes, Upload, read_upload


class Readings:
    """The uploads of the replies of one round.

    The eavesdropper and the strategy that it wraps both read every reply, and expect the same of
    nearly all of them.
    """

    def __init__(self) -> None:
        self._known: dict[int, tuple[Message, Shapes, Limits, Upload]] = {}

    def read(
        self, reply: Message, partition: int, expected: Shapes, limits: Limits = NO_LIMITS
    ) -> Upload:
        """Return the upload, as `fedsim.server.uploads.read_upload` does."""
        known = self._known.get(id(reply))
        if known is not None:
            seen, shapes, most, upload = known
            same = seen is reply and shapes is expected and most is limits
            if same and upload.partition == partition:
                return upload
        upload = read_upload(reply, partition, expected, limits)
        self._known[id(reply)] = (reply, expected, limits, upload)
        return upload

    def forget(self) -> None:
        """Forget all replies, which a later one could be taken for."""
        self._known.clear()
