"""Base class of grids that delegate to another grid."""

from collections.abc import Iterable, Mapping
from typing import Protocol, runtime_checkable

from flwr.app import Message, RecordDict
from flwr.proto.node_pb2 import NodeInfo
from flwr.serverapp import Grid
from flwr.supercore.run import Run


@runtime_checkable
class NumbersNodes(Protocol):
    """A grid that gives its nodes their partitions itself, so that not all need to be asked."""

    def partitions(self) -> Mapping[int, int]:
        """Return the partition of each node, by node id."""


class DelegateGrid(Grid):
    """Wraps any Flower grid without changes; subclasses override single methods.

    Args:
        grid: the wrapped grid.
    """

    def __init__(self, grid: Grid) -> None:
        self.grid = grid

    def get_node_ids(self) -> Iterable[int]:
        """Return the wrapped grid's nodes."""
        return self.grid.get_node_ids()

    def get_nodes(self) -> Iterable[NodeInfo]:
        """Return the wrapped grid's information on its nodes."""
        return self.grid.get_nodes()

    def set_run(self, run: Run) -> None:
        """Set the run that the wrapped grid operates in."""
        self.grid.set_run(run)

    @property
    def run(self) -> Run:
        """The run that the wrapped grid operates in."""
        return self.grid.run

    def create_message(
        self,
        content: RecordDict,
        message_type: str,
        dst_node_id: int,
        group_id: str,
        ttl: float | None = None,
    ) -> Message:
        """Return the wrapped grid's message."""
        return self.grid.create_message(content, message_type, dst_node_id, group_id, ttl)

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """Push messages through the wrapped grid."""
        return self.grid.push_messages(messages)

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """Pull replies through the wrapped grid."""
        return self.grid.pull_messages(message_ids)

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> Iterable[Message]:
        """Send messages through the wrapped grid and return the replies."""
        return self.grid.send_and_receive(messages, timeout=timeout)
