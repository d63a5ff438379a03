"""Partitions of the nodes, by asking them."""

import time
from collections.abc import Mapping, Sequence

from flwr.app import Message, MessageType, RecordDict
from flwr.serverapp import Grid

from fedsim.core.errors import RunError
from fedsim.server.grids import NumbersNodes

SOME_NODES = 4
"""Number of nodes, at least, that confirm the partitions of a grid that numbers its nodes."""


def ask_partitions(grid: Grid, clients: int, timeout_s: float) -> Mapping[int, int]:
    """Ask every node for its partition, and return the partitions by node id.

    Waits for the nodes first, because Flower starts the server before they are registered. Of a
    grid that numbers its nodes, only a few are asked, as a check: asking a thousand simulated
    clients takes as long as a round of training.

    Raises:
        RunError: too few nodes connect in time, or they do not hold the partitions 0 to
            clients - 1.
    """
    deadline = time.monotonic() + timeout_s
    while len(nodes := list(grid.get_node_ids())) < clients:
        if time.monotonic() > deadline:
            raise RunError(
                f"only {len(nodes)} of {clients} clients connected within {timeout_s:g} s; "
                "start as many clients as the scenario has, or raise federation.timeout_s"
            )
        time.sleep(0.05)
    known = grid.partitions() if isinstance(grid, NumbersNodes) else {}
    few = list(known)[:: max(1, len(known) // SOME_NODES)]
    confirmed = _answers(grid, few, timeout_s) if few else {}
    if confirmed and confirmed.items() <= known.items():  # one that is silent now may answer later
        return known
    found = _answers(grid, nodes, timeout_s)
    if len(found) < len(nodes):
        raise RunError(
            f"{len(nodes) - len(found)} of {len(nodes)} clients did not answer within "
            f"{timeout_s:g} s; see their logs, or raise federation.timeout_s"
        )
    if sorted(found.values()) != list(range(clients)):
        raise RunError(
            f"the clients hold the partitions {sorted(found.values())}; expected each of "
            f"0 to {clients - 1} once"
        )
    return found


def _answers(grid: Grid, nodes: Sequence[int], timeout_s: float) -> Mapping[int, int]:
    """Return the partitions of the nodes that answer."""
    asked = [Message(RecordDict(), dst_node_id=n, message_type=MessageType.QUERY) for n in nodes]
    replies = grid.send_and_receive(asked, timeout=timeout_s)
    return {r.metadata.src_node_id: _partition(r) for r in replies}


def _partition(reply: Message) -> int:
    if reply.has_error():
        raise RunError(f"a client could not report its partition: {reply.error.reason}")
    records = list(reply.content.metric_records.values())
    value = records[0].get("partition-id") if records else None
    if not isinstance(value, int):
        raise RunError("a client did not report its partition; is it fedsim's own ClientApp?")
    return value
