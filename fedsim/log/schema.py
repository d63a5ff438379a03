"""The records of a run, without torch: what an engine writes is what readers get.

A record is one line of ``records.jsonl``. It is written and read through its model alone. Keys
and kinds that are not known here are left out when a log is read, so that one of a later version
can be read if it only says more. Numbers that are not finite are null.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, JsonValue, TypeAdapter

from fedsim.core.errors import RunError
from fedsim.core.measures import Measure
from fedsim.core.modality import MODALITIES
from fedsim.core.names import ADAPTIVE, CONTROL, NAIVE, NEAREST, NO_DEFENSE, SUM, Attacker

__all__ = [
    "ADAPTIVE",
    "CONTROL",
    "FORMAT",
    "KINDS",
    "NAIVE",
    "NO_DEFENSE",
    "SUM",
    "Attacker",
    "Component",
    "EmergenceRecord",
    "ExampleScore",
    "LeakageRecord",
    "LogRecord",
    "Meaning",
    "ModelTraits",
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


class Verdict(StrEnum):
    """The scores of a reconstruction in a word, from most leakage to least."""

    RECOGNISABLE = "recognisable"
    PARTLY = "partly"
    GUESSING = "no more than guessing"
    UNSCORED = "unscored"


class Meaning(StrEnum):
    """The conclusion from one scored example about attack and defense."""

    LEAKED = "leaked"
    PARTLY = "partly leaked"
    PROTECTED = "protected"  # the attack fitted the upload as well as the truth does
    ATTACK_FAILED = "attack failed"  # the truth fits better, or the attack is an approximation
    UNSCORED = "unscored"


def _finite(value: Any) -> Any:
    """Return a value with null in place of each number in it that is not finite."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(part) for key, part in value.items()}
    return [_finite(part) for part in value] if isinstance(value, list | tuple) else value


Figure = Annotated[float | None, BeforeValidator(_finite)]
"""A number, or None where there is none, or none that is finite."""

Lax = Field(strict=False)
"""For what JSON has no type for: its lists become tuples, its strings members of an enumeration."""

Names = Annotated[tuple[str, ...], Lax]
Clients = Annotated[tuple[int, ...], Lax]


class _Typed(BaseModel):
    """A part of a record, or a whole one."""

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore", allow_inf_nan=False)


class Component(_Typed):
    """A named part of a scenario, such as a defense, with its parameters."""

    name: str
    parameters: Annotated[dict[str, JsonValue], BeforeValidator(_finite)] = Field(
        default_factory=dict
    )

    @classmethod
    def of(cls, table: Mapping[str, Any]) -> Component:
        """Return the component of a scenario's table: a name, and the parameters beside it."""
        return cls(name=table["name"], parameters={k: v for k, v in table.items() if k != "name"})

    @classmethod
    def chain(cls, tables: Sequence[Mapping[str, Any]]) -> tuple[Component, ...]:
        """Return the components of a chain, in order."""
        return tuple(map(cls.of, tables))


class ModelTraits(_Typed):
    """Properties of a model that decide whether an attack on it can work.

    Attributes:
        parameters: how many are trained.
        batch_statistics: layers that normalise by the batch's own statistics.
        piecewise_linear: layers without a second derivative.
    """

    parameters: int
    batch_statistics: int
    piecewise_linear: int


class Source(_Typed):
    """The documentation of a named part of the scenario: registry, name, docstring."""

    kind: str
    name: str
    text: str


class PluginFile(_Typed):
    """A plugin file that was loaded: name and digest of its contents."""

    name: str
    sha256: str


class PrivacySpent(_Typed):
    """The guarantee that a client's uploads so far still give.

    Attributes:
        epsilon, delta: of differential privacy; without an epsilon there is no guarantee.
        unit: between data sets that differ in one example of the client's, or in all of them.
    """

    epsilon: Figure
    delta: float
    unit: str


class ExampleScore(_Typed):
    """The score of one reconstructed example, of any modality, against the private one.

    Attributes:
        example: position in the private batch.
        metrics: figures against the private example, by name, such as ``psnr`` in dB; empty if
            there is no reconstruction.
        baselines: the same figures of guesses that see no upload, by the guess's name.
        label: the private label; None if the model learns none.
        label_found: the label that the attack assigns to this example.
        verdict: the scores in a word.
        meaning: the conclusion about attack and defense.
        original, found: the private example and the reconstructed one in words, such as a text's
            tokens; None for a modality without words.
    """

    example: int
    metrics: dict[str, Figure]
    baselines: dict[str, dict[str, Figure]]
    label: int | None = None
    label_found: int | None = None
    verdict: Annotated[Verdict, Lax]
    meaning: Annotated[Meaning, Lax]
    original: Names | None = None
    found: Names | None = None

    @classmethod
    def unscored(
        cls,
        example: int,
        baselines: Mapping[str, Mapping[str, float | None]],
        *,
        label: int | None = None,
        original: Sequence[str] | None = None,
    ) -> ExampleScore:
        """Return the score of an example without a reconstruction: no figure, never 0."""
        return cls(
            example=example,
            metrics={},
            baselines={name: dict(figures) for name, figures in baselines.items()},
            label=label,
            verdict=Verdict.UNSCORED,
            meaning=Meaning.UNSCORED,
            original=None if original is None else tuple(original),
        )

    def figure(self, measure: Measure) -> float | None:
        """Return the headline figure; None if the example is unscored."""
        return self.metrics.get(measure.key)

    def second(self, measure: Measure) -> float | None:
        """Return the figure beside the headline; None if the example is unscored."""
        return self.metrics.get(measure.second)

    def blind(self, measure: Measure) -> float:
        """Return the headline figure of the best blind guess.

        Raises:
            RunError: no blind guess has it.
        """
        guesses = (v.get(measure.key) for name, v in self.baselines.items() if name != NEAREST)
        known = [figure for figure in guesses if figure is not None]
        if not known:
            raise RunError(f"score.baselines: expected the {measure.key} of a blind guess")
        return max(known)


class RunStarted(_Typed):
    """The first record of a run.

    Attributes:
        format: version of the log's format.
        engine: inline, ray or deployment.
        device: of the attacks.
        modality: name of the kind of data.
        task: of the model: classify, masked or next.
        chance: accuracy of a model that has learnt nothing.
        random_label: share of labels that a random guess has right; None if it is not known.
        estimate_s: expected time of the attacks; None if it is short or not known.
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
        """The headline measure of the modality.

        Raises:
            UnknownNameError: no modality has that name.
        """
        return MODALITIES.get(self.modality).measure


class UploadRecord(_Typed):
    """One client's upload, as the server received it.

    Attributes:
        partition: the client.
        group: its client group.
        bytes, examples, loss: as the client says.
        defenses: in the order of application.
        did: figures of the defenses, as the client says, by ``position.name.measure``.
        privacy: spent by this client so far; None without a guarantee.
        digest: of the arrays; None if there are none.
        problem: why the upload cannot be used, if it cannot.
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


class SumRecord(_Typed):
    """The result of a round of secure aggregation.

    Attributes:
        partitions: the clients whose uploads are in the sum.
        group: stands for a client group.
        bytes: mean size of an upload.
        examples: behind the sum.
        defenses: the aggregation, as a chain of one defense.
        aggregation: with all its parameters.
        clear: names of the values that are not hidden.
        dropped: reasons of the clients that dropped out, by client.
        costs: bytes and seconds, by their cause.
        digest: of the arrays; None if there are none.
        problem: why there is no sum, if there is none.
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


class VictimRecord(_Typed):
    """A record about one victim.

    Attributes:
        victim: unique in the run.
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
    """The end of an attack on one victim.

    Attributes:
        attack: class of the attack.
        status: why the attack ended.
        objective: relative objective of the reconstruction.
        truth_objective: relative objective of the private batch itself.
        evaluations: of the objective, in the chosen trial.
        trial: the chosen random start.
        approximate: whether several steps, or batches, were taken for one.
        error: why there is no reconstruction, if there is none.
        tensors: path, in the run folder, of the victim's tensors.
    """

    kind: Literal["reconstruction"] = "reconstruction"
    attack: str
    status: str
    objective: Figure
    truth_objective: Figure
    evaluations: int
    trial: int
    seconds: float
    approximate: bool
    error: str | None
    tensors: str


class LeakageRecord(VictimRecord):
    """The score of one example of a victim's batch."""

    kind: Literal["leakage"] = "leakage"
    score: ExampleScore


Moment = Annotated[tuple[int, Names], Lax]
"""Evaluations spent, and the words of the example then."""


class EmergenceRecord(_Typed):
    """The reconstruction of one example in words, from the first moment to the last."""

    kind: Literal["emergence"] = "emergence"
    victim: str
    example: int
    moments: Annotated[tuple[Moment, ...], Lax]


class RoundRecord(_Typed):
    """The accuracy of the global model on test data after a round; round 0 is before the first."""

    kind: Literal["round"] = "round"
    round: int
    accuracy: float


class RunEnded(_Typed):
    """The last record of a run that did not die.

    Attributes:
        status: finished, interrupted or failed.
        error: why it failed.
        seconds: how long it took.
    """

    kind: Literal["end"] = "end"
    status: str
    error: str | None
    seconds: float


LogRecord = (
    RunStarted
    | UploadRecord
    | SumRecord
    | ReconstructionRecord
    | LeakageRecord
    | EmergenceRecord
    | RoundRecord
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
