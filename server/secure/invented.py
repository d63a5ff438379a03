"""SecAgg+ of a server that plays other clients itself, or leaves them out.

The masks between clients hide an upload only from those who are not among them. A server that plays
all clients but one knows their masks, and their uploads are zero.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
from flwr.app import ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.client.mod import secaggplus_mod
from flwr.common import Code, FitRes, Status, ndarrays_to_parameters
from flwr.compat.common.recorddict_compat import fitres_to_recorddict
from flwr.serverapp import Grid

from fedsim.server.grids import DelegateGrid
from fedsim.server.secure.strategy import Protocol, Revealed

FIRST_INVENTED = 2**62
"""Node id of the first invented client; Flower draws those of real ones at random."""


class AmongInvented(Protocol):
    """A protocol among the asked clients and invented ones, which upload zeros.

    Args:
        protocol: the protocol.
        invented: number of invented clients.
    """

    def __init__(self, protocol: Protocol, invented: int) -> None:
        self._protocol, self._invented = protocol, invented

    def reveal(
        self, grid: Grid, server_round: int, messages: Sequence[Message], size: int
    ) -> Revealed:
        """Run one round; what is revealed is of the real clients alone."""
        contexts = {FIRST_INVENTED + i: _context(FIRST_INVENTED + i) for i in range(self._invented)}
        [content, *_] = [m.content for m in messages]
        called = [
            Message(RecordDict({**content}), dst_node_id=node, message_type="train")
            for node in contexts
        ]
        playing = _Playing(grid, contexts, size)
        found = self._protocol.reveal(playing, server_round, [*messages, *called], size)
        clear = {n: c for n, c in found.clear.items() if n not in contexts}
        mean = found.mean
        if mean is not None:
            own = sum(_examples(c) for c in clear.values())
            mean = mean * (own + len(contexts)) / own if own else None
        return replace(
            found,
            mean=mean,
            coarser=1.0,  # each of the real clients has the most examples
            nodes=[n for n in found.nodes if n not in contexts],
            clear=clear,
            sizes={n: s for n, s in found.sizes.items() if n not in contexts},
            dropped={n: why for n, why in found.dropped.items() if n not in contexts},
            problem=found.problem or (None if clear else "no real client took part"),
        )


class _Playing(DelegateGrid):
    """A grid in which some nodes are the server's own."""

    def __init__(self, grid: Grid, contexts: dict[int, Context], size: int) -> None:
        super().__init__(grid)
        self._contexts, self._size = contexts, size

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> Iterable[Message]:
        """Return the replies of the real nodes, and those of the invented ones."""
        messages = list(messages)
        invented = [m for m in messages if m.metadata.dst_node_id in self._contexts]
        real = [m for m in messages if m.metadata.dst_node_id not in self._contexts]
        replies = list(super().send_and_receive(real, timeout=timeout))
        return [*replies, *map(self._played, invented)]

    def _played(self, message: Message) -> Message:
        context = self._contexts[message.metadata.dst_node_id]
        # A real client gets a copy; the mod takes the stage out of the record.
        records = {k: ConfigRecord({**v}) for k, v in message.content.config_records.items()}
        own = Message(
            RecordDict({**records}),
            dst_node_id=message.metadata.dst_node_id,
            message_type=message.metadata.message_type,
        )
        reply = secaggplus_mod(own, context, self._zeros)
        return Message(reply.content, reply_to=message)

    def _zeros(self, message: Message, context: Context) -> Message:
        parameters = ndarrays_to_parameters([np.zeros(self._size)])
        content = fitres_to_recorddict(FitRes(Status(Code.OK, ""), parameters, 1, {}), False)
        content["metrics"] = MetricRecord({"num-examples": 1})
        return Message(content, reply_to=message)


def _context(node: int) -> Context:
    return Context(run_id=1, node_id=node, node_config={}, state=RecordDict(), run_config={})


def _examples(content: RecordDict) -> float:
    value = content.metric_records["metrics"]["num-examples"]
    return float(value) if isinstance(value, int | float) else 0.0
