"""A Flower mod by which any Flower ClientApp checks the models that it receives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from flwr.app import Context, Error, Message, MessageType
from flwr.clientapp.typing import ClientAppCallable

from fedsim.clients.announcing import REFUSED, Announcing
from fedsim.clients.defenses.checking import Check, Received, Shapes, examined
from fedsim.clients.defenses.pipeline import record_of
from fedsim.clients.mods import note_defenses
from fedsim.core.arrays import tensors_of
from fedsim.core.errors import UploadError
from fedsim.core.registry import DEFENSES


@dataclass(frozen=True)
class CheckMod:
    """Checks the arrays of each train message before the ClientApp sees them.

    A check that refuses gives an error reply with its reason, and the ClientApp is not called. The
    measures of the others are in the ConfigRecord ``defenses`` of the reply, with keys such as
    ``0.weight-statistics.flagged``.

    Attributes:
        checks: in the order in which they are made.
        expected: shapes of the tensors of the client's own model, by name.
        announcing: the client's number and key, for checks that compare with other clients. The
            server must relay announcements (`fedsim.server.relaying.Relaying`); the mod answers
            its queries.

    Raises:
        ValueError: a check needs the client's batch, which a mod does not see, or ``announcing``.
    """

    checks: Sequence[Check]
    expected: Shapes
    announcing: Announcing | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "checks", tuple(self.checks))
        blind = [DEFENSES.name_of(c) for c in self.checks if c.needs_data]
        if blind:
            raise ValueError(
                f"CheckMod: {', '.join(map(repr, blind))} needs the client's batch, which a mod "
                "does not see; call its 'examine' in the train function, or use other checks"
            )

        alone = [DEFENSES.name_of(c) for c in self.checks if c.needs_others]
        if alone and self.announcing is None:
            raise ValueError(
                f"CheckMod: {', '.join(map(repr, alone))} compares with other clients; give "
                "'announcing' the client's number and the clients' common key"
            )

    def __call__(self, msg: Message, ctx: Context, call_next: ClientAppCallable) -> Message:
        """Return the reply of ``call_next``, or a refusal.

        Raises:
            UploadError: the message does not have exactly one ArrayRecord.
        """
        if self.announcing is not None and self.announcing.asked(msg):
            return self.announcing.announcement(msg, ctx)
        if msg.metadata.message_type.split(".")[0] != MessageType.TRAIN:
            return call_next(msg, ctx)
        records = list(msg.content.array_records.values())
        if len(records) != 1:
            raise UploadError(
                f"CheckMod: the message has {len(records)} ArrayRecords; expected exactly one"
            )
        weights = tensors_of(records[0])
        others = None if self.announcing is None else self.announcing.others(msg)
        own = None if self.announcing is None else self.announcing.own(msg, ctx)
        received = Received(weights, self.expected, others=others, announced=own)
        found = examined(self.checks, received)
        if found.refused is not None:
            return refusal(msg, found.refused)
        reply = call_next(msg, ctx)
        if not reply.has_error():
            done = [record_of(c, found.did[i]) for i, c in enumerate(self.checks)]
            note_defenses(reply.content, done, first=0)
        return reply


def refusal(message: Message, reason: str) -> Message:
    """Return the reply of a client that refuses to train on a received model."""
    return Message(Error(code=REFUSED, reason=reason), reply_to=message)
