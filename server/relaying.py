"""A strategy that relays the clients' announcements of the models that they received."""

from __future__ import annotations

from collections.abc import Iterable

from flwr.app import ArrayRecord, ConfigRecord, Message, RecordDict
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Strategy

from fedsim.core.agreement import AGREEMENT_RECORD, ANNOUNCE
from fedsim.server.delegate import Delegate


class Relaying(Delegate):
    """Asks each client of a round for an announcement, and sends all of them with the model.

    It costs one more exchange of messages in each round. A server that does not relay, or not
    faithfully, is noticed by clients that check (`model-agreement`).

    Args:
        strategy: the wrapped strategy.
        timeout_s: maximum time to wait for the announcements.
    """

    def __init__(self, strategy: Strategy, timeout_s: float) -> None:
        super().__init__(strategy)
        self._timeout_s = timeout_s

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Return the wrapped strategy's messages with the announcements."""
        messages = list(super().configure_train(server_round, arrays, config, grid))
        asked = [
            Message(
                RecordDict({**m.content}),
                dst_node_id=m.metadata.dst_node_id,
                message_type=f"query.{ANNOUNCE}",
            )
            for m in messages
        ]
        replies = list(grid.send_and_receive(asked, timeout=self._timeout_s))
        said = [
            reply.content.config_records[AGREEMENT_RECORD]
            for reply in replies
            if not reply.has_error() and AGREEMENT_RECORD in reply.content.config_records
        ]
        for message in messages:
            message.content = RecordDict({**message.content, AGREEMENT_RECORD: _together(said)})
        return messages


def _together(said: list[ConfigRecord]) -> ConfigRecord:
    """Return all usable announcements in one record; clients check the rest."""
    whole = [
        (client, digest, tag)
        for one in said
        for client, digest, tag in [(one.get("client"), one.get("digest"), one.get("tag"))]
        if isinstance(client, int) and isinstance(digest, bytes) and isinstance(tag, bytes)
    ]
    return ConfigRecord(
        {
            "clients": [client for client, _, _ in whole],
            "digests": [digest for _, digest, _ in whole],
            "tags": [tag for _, _, tag in whole],
        }
    )
