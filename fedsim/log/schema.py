"""The records of a run, without torch: the same types for engines and readers.

A record is one line of ``records.jsonl``. It is written and read through its model alone. Keys
and kinds that are not known here are left out when a log is read, so that one of a later version
can be read if it only says more. Numbers that are not finite are null.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args

from pydantic import Field, TypeAdapter

from fedsim.core.measures import Measure
from fedsim.core.modality import MODALITIES
from fedsim.core.names import ADAPTIVE, CONTROL, NAIVE, NO_DEFENSE, SUM, Attacker
from fedsim.log.parts import Component, ModelTraits, PluginFile, PrivacySpent, Source
from fedsim.log.score import Doubt, ExampleScore, Meaning, Verdict
from fedsim.log.values import Clients, Figure, Lax, Names, Typed

__all__ = [
    "ADAPTIVE",
    "CONTROL",
    "FORMAT",
    "KINDS",
    "NAIVE",
    "NO_DEFENSE",
    "SUM",
    "AttackedRecord",
    "Attacker",
    "Component",
    "Doubt",
    "EmergenceRecord",
    "ExampleScore",
    "LeakageRecord",
    "LogRecord",
    "ManipulationRecord",
    "Meaning",
    "ModelTraits",
    "NoteRecord",
    "PluginFile",
    "PrivacySpent",
    "ReconstructionRecord",
    "RoundRecord",
    "RunEnded",
    "RunStarted",
    "Source",
    "SumRecord",
    "UploadRecord",
    "Verdict",
    "VictimRecord",
    "dump",
    "parse",
]

FORMAT = 2


class RunStarted(Typed):
    """The first record of a run.

    Attributes:
        format: version of the log's format.
        engine: inline, ray or deployment.
        device: device of the attacks.
        modality: name of the modality.
        task: training task of the model: classify, labels, numbers, heads, masked or next.
        chance: accuracy of a constant guess, by the task's own measure.
        random_label: expected accuracy of guessed labels; None if unknown, or without labels.
        estimate_s: expected time of the attacks, in seconds; None if short or unknown.
        model: model properties that matter to gradient inversion.
        versions: versions of fedsim, Python and the packages that affect the results.
        sources: documentation of the scenario's named parts.
        plugins: files that were loaded before the run.
        started: date and time with zone, as in ISO 8601.
        command: arguments of the process.
    """

    kind: Literal["run"] = "run"
    format: Literal[2] = 2
    title: str
    seed: int
    engine: str
    device: str
    modality: str
    task: str
    chance: float
    random_label: Figure
    estimate_s: Figure
    model: ModelTraits
    versions: dict[str, str]
    sources: Annotated[tuple[Source, ...], Lax]
    plugins: Annotated[tuple[PluginFile, ...], Lax] = ()
    started: str
    command: Names

    @property
    def measure(self) -> Measure:
        """Headline measure of the modality.

        Raises:
            UnknownNameError: the modality is not registered.
        """
        return MODALITIES.get(self.modality).measure


class UploadRecord(Typed):
    """One client's upload, as the server received it.

    Attributes:
        partition: the client.
        group: its client group.
        bytes, examples, loss: values reported by the client.
        defenses: the client's defenses in the order of application.
        did: the client's report on its defenses, by ``position.name.measure``.
        privacy: privacy spent by this client so far; None without a guarantee.
        digest: hash of the arrays; None if there are none.
        problem: reason why the upload is unusable, or None.
        noticed: names of the client's checks that suspected the server.
        refused: whether one of them refused the round.
    """

    kind: Literal["upload"] = "upload"
    round: int
    partition: int
    group: str
    bytes: Figure
    examples: Figure
    loss: Figure
    defenses: Annotated[tuple[Component, ...], Lax]
    did: dict[str, Figure]
    privacy: PrivacySpent | None
    digest: str | None
    problem: str | None
    noticed: Names = ()
    refused: bool = False

    @property
    def checks(self) -> tuple[str, ...]:
        """Names of the client's checks of the model: defenses that act on suspicion."""
        return tuple(dict.fromkeys(d.name for d in self.defenses if d.is_check))

    @property
    def own_leaks(self) -> tuple[str, ...]:
        """Names of the checks that found a leak and do not accuse the server."""
        finding = {d.name for d in self.defenses if not d.accuses}
        return tuple(name for name in self.noticed if name in finding)


class SumRecord(Typed):
    """The result of a round of secure aggregation.

    Attributes:
        partitions: the clients whose uploads are in the sum.
        group: name used instead of a client group.
        bytes: mean size of an upload.
        examples: number of examples behind the sum.
        defenses: the aggregation, as a chain of one defense.
        aggregation: with all its parameters.
        clear: names of the values that are not hidden.
        dropped: reason for each client that dropped out, by client.
        costs: bytes and seconds, by stage.
        digest: hash of the arrays; None if there are none.
        problem: reason for a missing sum, or None.
    """

    kind: Literal["sum"] = "sum"
    round: int
    partitions: Clients
    group: str = SUM
    bytes: Figure
    examples: int
    defenses: Annotated[tuple[Component, ...], Lax]
    aggregation: Component
    clear: Names
    dropped: dict[str, str]
    costs: dict[str, Figure]
    digest: str | None
    problem: str | None


class ManipulationRecord(Typed):
    """Deeds of a malicious server in a round: a changed model, or a breach of the protocol.

    Attributes:
        partitions: the clients whose uploads it reads.
        manipulation: its name and parameters.
        what: the change, as a clause without a subject.
        tensors: names of the changed and inserted tensors.
        constants: constants that the server chose on public data.
        expected: share of a client's batch that the server expected to isolate.
        accuracy: accuracy of the changed model on test data.
        honest_accuracy: accuracy of the global model on test data, before the round.
        others: clients that serve the attack on those: their model was changed too.
        letter: letter of the adversary in the SoK of Carletti et al.; None in older logs.
    """

    kind: Literal["manipulation"] = "manipulation"
    round: int
    partitions: Clients
    manipulation: Component
    what: str
    tensors: Names
    constants: dict[str, Figure]
    expected: Figure
    accuracy: float
    honest_accuracy: float
    others: Clients = ()
    letter: str | None = None


class VictimRecord(Typed):
    """A record about one victim.

    Attributes:
        victim: name of the victim, unique in the run.
        partition: the client; None for a sum of several and for the positive control.
        group: its client group; None for the positive control.
        attacker: naive or adaptive.
    """

    victim: str
    round: int
    partition: int | None
    group: str | None
    attacker: Attacker

    @property
    def is_control(self) -> bool:
        """Whether the victim is the positive control."""
        return self.group is None

    @property
    def who(self) -> str:
        """The client group, or the name of the positive control."""
        return CONTROL if self.group is None else self.group


class ReconstructionRecord(VictimRecord):
    """Result of an attack on one victim.

    Attributes:
        attack: class of the attack.
        status: reason for the end of the attack.
        objective: relative objective of the reconstruction.
        truth_objective: relative objective of the private batch itself.
        explained: whether the attacker's equations explain the upload by the private batch; None
            if the attack has no objective.
        rounding: relative objective that floating-point arithmetic leaves to the private batch.
        evaluations: number of objective evaluations of the chosen trial.
        trial: index of the chosen random start.
        approximate: whether several steps, or batches, were treated as one.
        statistics: BatchNorm statistics that the attack compared with: those of the batch, read
            from uploaded buffers (``uploaded``), the model's ``running`` ones, or ``none``; None if
            the attack, or the model, has no use for them.
        error: reason for a missing reconstruction, or None.
        tensors: path of the victim's tensors in the run folder.
        cut: whether the run was broken off before the attack had ended.
        film: whether the snapshots are those of another search, shown beside a computed result.
    """

    kind: Literal["reconstruction"] = "reconstruction"
    attack: str
    status: str
    objective: Figure
    truth_objective: Figure
    explained: bool | None = None
    rounding: Figure = None
    evaluations: int
    trial: int
    seconds: float
    approximate: bool
    statistics: str | None = None
    error: str | None
    tensors: str
    cut: bool = False
    film: bool = False


class LeakageRecord(VictimRecord):
    """The score of one example of a victim's batch."""

    kind: Literal["leakage"] = "leakage"
    score: ExampleScore


Moment = Annotated[tuple[int, Names], Lax]
"""Evaluations so far, and the tokens of the example at that time."""


class EmergenceRecord(Typed):
    """Snapshots of one example's reconstruction as tokens, from first to last."""

    kind: Literal["emergence"] = "emergence"
    victim: str
    example: int
    moments: Annotated[tuple[Moment, ...], Lax]


class RoundRecord(Typed):
    """The accuracy of the global model on test data after a round; round 0 is before the first."""

    kind: Literal["round"] = "round"
    round: int
    accuracy: float


class AttackedRecord(Typed):
    """The end of a round's attacks, all of whose outcomes stand before it."""

    kind: Literal["attacked"] = "attacked"
    round: int


class NoteRecord(Typed):
    """A remark on the run for its readers.

    Attributes:
        round: the round that it is about, or None.
        partition: the client that it is about, or None.
        text: the remark as a sentence or clause.
    """

    kind: Literal["note"] = "note"
    round: int | None
    partition: int | None
    text: str


class RunEnded(Typed):
    """Last record of a run, missing if the process died.

    Attributes:
        status: finished, interrupted or failed.
        error: reason for a failure, or None.
        seconds: duration.
    """

    kind: Literal["end"] = "end"
    status: str
    error: str | None
    seconds: float


LogRecord = (
    RunStarted
    | UploadRecord
    | SumRecord
    | ManipulationRecord
    | ReconstructionRecord
    | LeakageRecord
    | EmergenceRecord
    | RoundRecord
    | AttackedRecord
    | NoteRecord
    | RunEnded
)

KINDS = tuple(kind.model_fields["kind"].default for kind in get_args(LogRecord))

_RECORD: TypeAdapter[LogRecord] = TypeAdapter(Annotated[LogRecord, Field(discriminator="kind")])


def parse(values: Mapping[str, Any]) -> LogRecord:
    """Return the record of a JSON object.

    Raises:
        pydantic.ValidationError: the object is not a record of this format.
    """
    return _RECORD.validate_python(values)


def dump(record: LogRecord) -> dict[str, Any]:
    """Return the JSON object of a record."""
    return record.model_dump(mode="json")
