"""Client side of the comparison of received models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from flwr.app import ConfigRecord, ConfigRecordValues, Context, Error, Message, RecordDict
from torch import Tensor

from fedsim.core.agreement import (
    AGREEMENT_RECORD,
    ANNOUNCE,
    model_digest,
    tag_of,
    vouched,
)
from fedsim.core.arrays import tensors_of

ANNOUNCED = "fedsim.announced"
"""Record of a client's state: the last round in which it announced a model, and its digest."""

REFUSED = 2
"""Code of the error with which a client refuses."""


@dataclass(frozen=True)
class Announcing:
    """A client that announces what it received, and reads the announcements of others.

    Attributes:
        client: number of the client.
        key: key that all clients share and the server does not know.
    """

    client: int
    key: bytes = field(repr=False)

    def asked(self, message: Message) -> bool:
        """Return whether a message asks for an announcement."""
        return message.metadata.message_type == f"query.{ANNOUNCE}"

    def announcement(self, message: Message, context: Context) -> Message:
        """Return the reply to such a message, which holds the model.

        A client announces one model a round, and none of an earlier round: a server that could have
        several announced would relay to each client what it wants to hear.
        """
        digest, server_round = model_digest(received_in(message)), round_of(message)
        last = context.state.config_records.get(ANNOUNCED, ConfigRecord({"round": 0}))
        latest = int(str(last["round"]))
        if server_round < max(latest, 1) or (server_round == latest and last["digest"] != digest):
            reason = f"model-agreement: a second model is to be announced, for round {server_round}"
            return Message(Error(code=REFUSED, reason=reason), reply_to=message)
        said: dict[str, ConfigRecordValues] = {"round": server_round, "digest": digest}
        context.state[ANNOUNCED] = ConfigRecord(said)
        tag = tag_of(self.key, self.client, server_round, digest)
        reply = ConfigRecord({"client": self.client, "digest": digest, "tag": tag})
        return Message(RecordDict({AGREEMENT_RECORD: reply}), reply_to=message)

    def own(self, message: Message, context: Context) -> bytes | None:
        """Return the digest that this client announced in the round of a train message, or None."""
        last = context.state.config_records.get(ANNOUNCED, ConfigRecord())
        digest = last.get("digest")
        return digest if isinstance(digest, bytes) and last["round"] == round_of(message) else None

    def others(self, message: Message) -> dict[int, bytes]:
        """Return the digests for which other clients vouch in a train message, by client."""
        said = message.content.config_records.get(AGREEMENT_RECORD, ConfigRecord())
        lists = [said.get(name) for name in ("clients", "digests", "tags")]
        clients, digests, tags = (v if isinstance(v, list) else [] for v in lists)
        return vouched(
            self.key,
            self.client,
            round_of(message),
            [c for c in clients if isinstance(c, int)],
            [d for d in digests if isinstance(d, bytes)],
            [t for t in tags if isinstance(t, bytes)],
        )


def received_in(message: Message) -> Mapping[str, Tensor]:
    """Return the tensors of the model in a message.

    Raises:
        ValueError: there is not exactly one record of arrays.
    """
    [record] = message.content.array_records.values()
    return tensors_of(record)


def round_of(message: Message) -> int:
    """Return the round of a message; 0 if it does not say."""
    for record in message.content.config_records.values():
        value = record.get("server-round")
        if isinstance(value, int):
            return value
    return 0
