"""A Flower mod that defends the uploads of any Flower ClientApp."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from flwr.app import (
    ArrayRecord,
    ConfigRecord,
    Context,
    Message,
    MessageType,
    MetricRecord,
    RecordDict,
)
from flwr.clientapp.typing import ClientAppCallable
from torch import Tensor

from fedsim.clients.defenses import (
    Defense,
    DefenseRecord,
    acts_on_steps,
    defense_generator,
    fresh_generator,
    is_private,
    payload_bytes,
    protect,
)
from fedsim.core.arrays import of_kind, record_of, tensors_of
from fedsim.core.errors import UploadError
from fedsim.core.registry import DEFENSES

Uploads = Literal["gradients", "weights"]

BYTES_KEY = "upload-bytes"
RECORD_KEY = "defenses"
STATE_KEY = "defense-state"


@dataclass(frozen=True)
class DefenseMod:
    """Defends the arrays of each reply to a train message, and reports in the reply what it did.

    The reply's first MetricRecord, if it has one, gets ``upload-bytes``: the size of the payload
    in bytes, by the model of ``fedsim.clients.defenses.payload_bytes``. A ConfigRecord ``defenses``
    reports what each defense did, as floats with keys like ``0.gaussian-noise.noise_std``
    (position, name, measure). Other messages and error replies are not changed.

    Flower applies the mod that is listed last to outgoing arrays first. Give several defenses to
    one mod, which applies them in the written order: a mod cannot see how another mod would encode
    the values.

    Attributes:
        defenses: in the order in which they are applied.
        uploads: content of the ClientApp's replies. For ``"gradients"`` the arrays themselves are
            defended; for ``"weights"`` the update (reply minus received) is defended, and the
            received weights are added again.
        seed: None draws fresh noise from the operating system each time, which real deployments
            need: anyone who knows the seed can subtract the noise. With a seed the reply is a
            pure function of it, the node's ``partition-id`` and the message's ``server-round``.
        only: names of the arrays to defend, such as a model's parameters without its BatchNorm
            buffers; None for all floating-point arrays.
        report: whether replies carry the ConfigRecord. It holds measures of the drawn noise,
            for research. A chain with a mechanism of differential privacy never reports: its
            guarantee covers the arrays alone.
        steps_defended: whether the ClientApp itself trains with
            ``fedsim.clients.defenses.DefendedSteps`` and the same defenses. A mod sees only
            replies, so without this it refuses defenses of batches and gradients.

    Raises:
        ValueError: ``uploads`` is neither of its two values, or a defense acts on batches or
            gradients and ``steps_defended`` is not set.
    """

    defenses: Sequence[Defense]
    uploads: Uploads
    seed: int | None = None
    only: Collection[str] | None = None
    report: bool = True
    steps_defended: bool = False

    def __post_init__(self) -> None:
        if self.uploads not in get_args(Uploads):
            raise ValueError(
                f"uploads is {self.uploads!r}: expected 'gradients', if the ClientApp replies with "
                "gradients or updates, or 'weights', if it replies with the trained weights"
            )
        object.__setattr__(self, "defenses", tuple(self.defenses))
        if not self.steps_defended:
            _refuse_defenses_of_steps(self.defenses)

    def __call__(self, msg: Message, ctx: Context, call_next: ClientAppCallable) -> Message:
        """Return the reply of ``call_next`` with its arrays defended.

        Raises:
            UploadError: the reply, or the message if it is needed, does not have exactly one
                ArrayRecord; weights differ from the received ones in names or shapes; ``only``
                names a missing array; or a seed is given and the message lacks its round or the
                node its partition.
        """
        if msg.metadata.message_type.split(".")[0] != MessageType.TRAIN:
            return call_next(msg, ctx)
        generator = self._generator(msg, ctx)
        memory = _Memory(ctx)
        # Before the call: a train function may empty the record that it reads.
        received = _single_arrays(msg.content, "message")[1] if self.uploads == "weights" else None
        reply = call_next(msg, ctx)
        if not reply.has_error():
            memory.keep(self._defend(reply.content, received, generator, memory))
        return reply

    def _generator(self, msg: Message, ctx: Context) -> torch.Generator:
        if self.seed is None:
            return fresh_generator()
        return defense_generator(self.seed, _partition(ctx), _server_round(msg))

    def _defend(
        self,
        content: RecordDict,
        received: Mapping[str, Tensor] | None,
        generator: torch.Generator,
        memory: "_Memory",
    ) -> Sequence[Mapping[str, Tensor]]:
        """Replace the arrays of ``content`` by defended ones and record what was done.

        Returns:
            The state of each defense to keep until the next reply.
        """
        key, arrays = _single_arrays(content, "reply")
        chosen = self._chosen(arrays)
        states = memory.states(len(self.defenses))
        if received is None:
            done = protect(self.defenses, chosen, generator, states)
            defended = done.tensors
        else:
            _check_same_arrays(arrays, received)
            update = {name: x - received[name] for name, x in chosen.items()}
            done = protect(self.defenses, update, generator, states)
            defended = {
                name: _moved(x, received[name], update[name], done.tensors[name])
                for name, x in chosen.items()
            }
        content[key] = record_of({**arrays, **defended})
        rest = {name: x for name, x in arrays.items() if name not in chosen}
        _note_bytes(content, done.num_bytes + payload_bytes(rest))
        if self.report and not is_private(self.defenses):
            said = of_kind(content, ConfigRecord).get(RECORD_KEY, ConfigRecord())
            first = 1 + max((int(key.split(".")[0]) for key in said), default=-1)
            note_defenses(content, done.records, first)
        return done.states

    def _chosen(self, arrays: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the arrays to defend."""
        missing = sorted(set(self.only or ()) - set(arrays))
        if missing:
            raise UploadError(
                f"DefenseMod: 'only' names {missing}, which the reply does not have; "
                f"it has {sorted(arrays)}"
            )
        return {
            name: x
            for name, x in arrays.items()
            if x.is_floating_point() and (self.only is None or name in self.only)
        }


def _refuse_defenses_of_steps(defenses: Sequence[Defense]) -> None:
    """Refuse defenses without effect here, so that no client falsely believes it is protected."""
    early = [DEFENSES.name_of(d) for d in defenses if acts_on_steps(type(d))]
    if early:
        of_uploads = [n for n in DEFENSES.names() if not acts_on_steps(DEFENSES.get(n))]
        raise ValueError(
            f"DefenseMod: {', '.join(map(repr, early))} would do nothing here: defenses of "
            "the batch or of the gradient act before the reply, and a mod sees only the reply. "
            "Train with fedsim.clients.defenses.DefendedSteps and set steps_defended=True, or use "
            f"defenses of uploads: {', '.join(of_uploads)}"
        )


class _Memory:
    """State of defenses between replies, stored in the node's Flower state."""

    def __init__(self, ctx: Context) -> None:
        self._records = ctx.state

    def states(self, count: int) -> list[Mapping[str, Tensor]]:
        """Return the stored state of each of ``count`` defenses."""
        stored = of_kind(self._records, ArrayRecord)
        held = [stored.get(f"{STATE_KEY}.{i}") for i in range(count)]
        return [tensors_of(record) if record else {} for record in held]

    def keep(self, states: Sequence[Mapping[str, Tensor]]) -> None:
        """Store the states for the next reply."""
        for i, state in enumerate(states):
            if state:
                self._records[f"{STATE_KEY}.{i}"] = record_of(state)


def _single_arrays(content: RecordDict, whose: str) -> tuple[str, dict[str, Tensor]]:
    """Return the key and the tensors of the only ArrayRecord in a message or reply."""
    records = of_kind(content, ArrayRecord)
    if len(records) != 1:
        raise UploadError(
            f"DefenseMod: the {whose} has {len(records)} ArrayRecords {sorted(records)}; "
            "expected exactly one"
        )
    key, record = next(iter(records.items()))
    return key, tensors_of(record)


def _check_same_arrays(arrays: Mapping[str, Tensor], received: Mapping[str, Tensor]) -> None:
    # Missing names are errors too: gradients lack a model's buffers, and gradients sent instead of
    # weights would otherwise go unnoticed.
    unpaired = sorted(set(arrays) ^ set(received))
    if unpaired:
        raise UploadError(
            "DefenseMod with uploads='weights': the reply and the received weights must have the "
            f"same arrays, but {unpaired} are in one of them only; if the ClientApp replies with "
            "gradients, use uploads='gradients'"
        )
    for name, x in arrays.items():
        if x.shape != received[name].shape:
            raise UploadError(
                f"DefenseMod with uploads='weights': the reply's {name!r} has the shape "
                f"{tuple(x.shape)}, the received one {tuple(received[name].shape)}"
            )


def _moved(reply: Tensor, received: Tensor, update: Tensor, defended: Tensor) -> Tensor:
    """Return the received weights plus the defended update."""
    # An unchanged update leaves the reply unchanged: adding it back would round once more.
    return torch.where(defended == update, reply, received + defended).to(reply.dtype)


def _note_bytes(content: RecordDict, num_bytes: int) -> None:
    for record in list(of_kind(content, MetricRecord).values())[:1]:
        record[BYTES_KEY] = num_bytes


def note_defenses(content: RecordDict, records: Sequence[DefenseRecord], first: int) -> None:
    """Record in a reply what defenses did, the first of them at position ``first``."""
    noted = of_kind(content, ConfigRecord).get(RECORD_KEY, ConfigRecord())
    for position, record in enumerate(records, start=first):
        for measure, value in record.did.items():
            noted[f"{position}.{record.name}.{measure}"] = float(value)
    content[RECORD_KEY] = noted


def _partition(ctx: Context) -> int:
    try:
        return int(ctx.node_config["partition-id"])
    except KeyError:
        raise UploadError(
            "DefenseMod with a seed: the node has no 'partition-id'; start it with "
            '--node-config "partition-id=..." or omit the seed'
        ) from None


def _server_round(msg: Message) -> int:
    for record in of_kind(msg.content, ConfigRecord).values():
        value = record.get("server-round")
        if isinstance(value, int):
            return value
    raise UploadError(
        "DefenseMod with a seed: no ConfigRecord of the message has a 'server-round'; let the "
        "strategy send it, as Flower's own strategies do, or omit the seed"
    )
