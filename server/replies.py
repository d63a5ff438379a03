"""A grid that passes on one reply of each client that was asked."""

from collections.abc import Iterable, Mapping, Sequence

from flwr.app import Message
from flwr.serverapp import Grid

from fedsim.server.grids import DelegateGrid
from fedsim.server.standing_out import OnNote

UNASKED = "a reply of a node that was not asked was ignored"
AGAIN = "a second reply of the same client was ignored"


class OneReplyEach(DelegateGrid):
    """Ignores replies of unknown nodes, and all replies of a node but its first.

    Args:
        grid: the grid with the clients.
        partitions: the partition of each node, by node id.
        on_note: called with a remark on each ignored reply.
    """

    def __init__(self, grid: Grid, partitions: Mapping[int, int], on_note: OnNote) -> None:
        super().__init__(grid)
        self._partitions, self._on_note = partitions, on_note

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> Iterable[Message]:
        """Send messages and return the first reply of each node that was asked."""
        sent = list(messages)
        asked = {m.metadata.dst_node_id for m in sent}
        first: dict[int, Message] = {}
        for reply in super().send_and_receive(sent, timeout=timeout):
            node = reply.metadata.src_node_id
            if node in asked and node not in first:
                first[node] = reply
            else:
                said = AGAIN if node in asked else UNASKED
                self._on_note(_round_of(sent), self._partitions.get(node), said)
        return list(first.values())


def _round_of(messages: Sequence[Message]) -> int | None:
    """Return the round of train messages, or None if they do not name it."""
    for record in messages[0].content.config_records.values() if messages else ():
        found = record.get("server-round")
        if isinstance(found, int):
            return found
    return None
