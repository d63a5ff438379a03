"""Summary of a run: one row for each client group and attacker.

It only reads records, so it works without torch, for running, finished and dead runs.
"""

from __future__ import annotations

import math
import re
import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from fedsim.core.errors import RunError
from fedsim.core.measures import Measure, accuracy_name
from fedsim.log.malice import checked, taken
from fedsim.log.reader import of_kind
from fedsim.log.schema import (
    CONTROL,
    NAIVE,
    NO_DEFENSE,
    Attacker,
    Component,
    Doubt,
    LeakageRecord,
    LogRecord,
    ManipulationRecord,
    Meaning,
    NoteRecord,
    PrivacySpent,
    ReconstructionRecord,
    RoundRecord,
    RunEnded,
    RunStarted,
    SumRecord,
    UploadRecord,
)

WORST_FIRST = (
    Meaning.LEAKED,
    Meaning.PARTLY,
    Meaning.ATTACK_FAILED,
    Meaning.NOT_COMPARED,
    Meaning.UNSCORED,
    Meaning.NOTHING,
    Meaning.PROTECTED,
)
"""Meanings from the worst for a client to the best."""


@dataclass(frozen=True)
class Row:
    """Leakage of one client group under one attacker, over all rounds.

    Attributes:
        group: the client group, or the positive control.
        defense: of the group's uploads, in words, with the clients' checks.
        attacker: naive or adaptive.
        examples: number of attacked examples.
        meanings: number of examples with each meaning.
        measure: measure of the scores.
        scores: scores of the examples that could be scored.
        baseline: score of the best blind guess for each of these examples.
        labels: number of correct labels, and of labels that the attack assigned.
        upload_bytes: mean size of the group's uploads.
        privacy: privacy spent by the client that has spent most; None without a mechanism.
        doubts: number of examples by the weightiest reason for not being called protected.
        defended: whether a defense changes the uploads, as checks of the received model do not.
    """

    group: str
    defense: str
    attacker: Attacker
    examples: int
    meanings: dict[Meaning, int]
    measure: Measure
    scores: list[float]
    baseline: list[float]
    labels: tuple[int, int]
    upload_bytes: float | None
    privacy: PrivacySpent | None = None
    doubts: dict[Doubt, int] = field(default_factory=dict)
    defended: bool = False

    @property
    def epsilon(self) -> float | None:
        """Largest epsilon that one of the group's clients has spent; None without a guarantee."""
        return None if self.privacy is None else self.privacy.epsilon

    @property
    def labels_right(self) -> float | None:
        """Share of correct labels among those that the attack assigned; None without any."""
        right, assigned = self.labels
        return right / assigned if assigned else None

    def count(self, meaning: Meaning) -> int:
        """Return the number of examples of a meaning."""
        return self.meanings.get(meaning, 0)


@dataclass(frozen=True)
class Summary:
    """Summary of a run.

    Attributes:
        rows: in the order in which the groups first appear; the control last.
        measure: measure of the rows' scores.
        accuracy: accuracy of the global model on test data, by round.
        accuracy_name: name of the accuracy.
        problems: unusable uploads: round, client, reason.
        lost: rounds of a secure aggregation without a sum: round, reason.
        failures: attacks without a reconstruction: victim, reason.
        approximate: whether the attack treated several local steps, or the batches of several
            clients, as one.
        statistics: sources of the BatchNorm statistics that the attacks on clients had.
        attacks: attacks on clients that replaced the scenario's, as ``token-search`` does behind a
            defense.
        random_label: expected accuracy of random labels, the blind baseline for labels.
        worst: number of private examples by what the attacker who learnt most learnt of each.
        notes: remarks on the run: round or None, client or None, text.
        manipulations: changed models that a malicious server sent.
        taken: number of examples that answered a changed model and were recovered, and of all of
            them, by round.
        noticed: rounds in which a client's check suspected the server: round, client, name of the
            check, whether the client refused the round.
        checked: number of uploads and refusals of clients with checks in honest rounds.
        leaks: those among them by checks that find a leak and do not accuse the server: round,
            client, name of the check.
        checking: round and client of the uploads and refusals of clients with checks.
        status: finished, interrupted or failed; None while the run continues or if it died.
        error: reason for a failure, or None.
        seconds: duration of the run.
    """

    rows: list[Row]
    measure: Measure
    accuracy: dict[int, float]
    accuracy_name: str = accuracy_name("classify")
    problems: list[tuple[int, int, str]] = field(default_factory=list)
    failures: list[tuple[str, str]] = field(default_factory=list)
    lost: list[tuple[int, str]] = field(default_factory=list)
    approximate: bool = False
    statistics: frozenset[str] = frozenset()
    attacks: frozenset[str] = frozenset()
    random_label: float | None = None
    worst: dict[Meaning, int] = field(default_factory=dict)
    notes: list[tuple[int | None, int | None, str]] = field(default_factory=list)
    manipulations: list[ManipulationRecord] = field(default_factory=list)
    taken: dict[int, tuple[int, int]] = field(default_factory=dict)
    noticed: list[tuple[int, int, str, bool]] = field(default_factory=list)
    checked: int = 0
    leaks: frozenset[tuple[int, int, str]] = frozenset()
    checking: frozenset[tuple[int, int]] = frozenset()
    status: str | None = None
    error: str | None = None
    seconds: float | None = None

    @property
    def control(self) -> Row | None:
        """Row of the positive control, or None if there was no attack.

        If the adaptive attackers have one of their own, the one with the smaller share that leaked.
        """
        rows = [r for r in self.rows if r.group == CONTROL]
        return min(rows, key=lambda r: r.count(Meaning.LEAKED) / r.examples, default=None)

    @property
    def control_name(self) -> str:
        """Name of that control in a sentence: with its attacker, if others reconstructed theirs."""
        rows = [r for r in self.rows if r.group == CONTROL]
        shares = {r.count(Meaning.LEAKED) / r.examples for r in rows}
        if self.control is None or len(shares) < 2:
            return "The positive control"
        return f"The {self.control.attacker} attacker's positive control"

    @property
    def control_failed(self) -> bool:
        """Whether some positive control was not reconstructed."""
        if self.control is None:
            return False
        shown = self.control.count(Meaning.LEAKED) + self.control.count(Meaning.NOTHING)
        return shown < self.control.examples


def summarise(records: Iterable[LogRecord]) -> Summary:
    """Return the summary of a run's records.

    Raises:
        RunError: there are no records yet.
    """
    records = list(records)
    start = next(iter(of_kind(records, RunStarted)), None)
    if start is None:
        raise RunError("this run has not recorded anything yet")
    uploads, sums = of_kind(records, UploadRecord), of_kind(records, SumRecord)
    found = of_kind(records, ReconstructionRecord)
    end = next(reversed(of_kind(records, RunEnded)), None)
    measure = start.measure
    return Summary(
        rows=_rows(of_kind(records, LeakageRecord), [*uploads, *sums], measure),
        measure=measure,
        accuracy={r.round: r.accuracy for r in of_kind(records, RoundRecord)},
        accuracy_name=accuracy_name(start.task),
        problems=[(u.round, u.partition, u.problem) for u in uploads if u.problem],
        lost=[(s.round, s.problem) for s in sums if s.problem],
        failures=[(r.victim, r.error) for r in found if r.error],
        approximate=any(r.approximate for r in found),
        statistics=frozenset(r.statistics for r in found if r.statistics and not r.is_control),
        attacks=_replacing(found),
        random_label=start.random_label,
        worst=_worst(of_kind(records, LeakageRecord)),
        notes=[(n.round, n.partition, n.text) for n in of_kind(records, NoteRecord)],
        manipulations=of_kind(records, ManipulationRecord),
        taken=taken(records, measure),
        noticed=[(u.round, u.partition, name, u.refused) for u in uploads for name in u.noticed],
        checked=checked(uploads, of_kind(records, ManipulationRecord)),
        leaks=frozenset((u.round, u.partition, name) for u in uploads for name in u.own_leaks),
        checking=frozenset((u.round, u.partition) for u in uploads if u.checks),
        status=None if end is None else end.status,
        error=None if end is None else end.error,
        seconds=None if end is None else end.seconds,
    )


def _replacing(found: Sequence[ReconstructionRecord]) -> frozenset[str]:
    """Return the registered names of attacks on clients that the naive attacker does not use."""
    naive = {r.attack for r in found if r.attacker == NAIVE}
    others = {r.attack for r in found if not r.is_control} - naive
    return frozenset(re.sub(r"(?<!^)(?=[A-Z][a-z])", "-", name).lower() for name in others)


_STATISTICS = {
    "uploaded": "those of the client's own batch, read from the buffers that it uploaded",
    "running": "the model's running ones, an average over earlier batches",
    "none": "none, because the uploads do not give them and the model has not averaged any batch",
}
"""Sources of BatchNorm statistics in words, best known first."""


def statistics_known(summary: Summary) -> str | None:
    """Return a sentence on the BatchNorm statistics that the attacks had, or None if unused."""
    found = [words for source, words in _STATISTICS.items() if source in summary.statistics]
    return f"Batch statistics known to the attack: {'; or '.join(found)}." if found else None


def labels_told(summary: Summary) -> str | None:
    """Return a sentence on the labels that the uploads told, or None if attacks assigned none."""
    told: dict[str, tuple[int, int]] = {}
    for row in summary.rows:
        if row.group != CONTROL and row.labels[1]:
            best = told.get(row.group, row.labels)
            told[row.group] = max(best, row.labels, key=lambda pair: (pair[0], -pair[1]))
    if not told:
        return None
    counts = ", ".join(f"{name} {right} of {all_}" for name, (right, all_) in told.items())
    guess = summary.random_label
    chance = "" if guess is None else f"; a guess has {guess:.0%}"
    return f"Labels told, a leak of their own: {counts}{chance}."


def _worst(leakage: Sequence[LeakageRecord]) -> dict[Meaning, int]:
    """Count the private examples by their worst meaning over the attackers."""
    found: dict[tuple[int, int | None, str, int], Meaning] = {}
    for record in leakage:
        if not record.is_control:
            key = (record.round, record.partition, record.who, record.score.example)
            meaning = record.score.meaning
            found[key] = min(found.get(key, meaning), meaning, key=WORST_FIRST.index)
    counts = Counter(found.values())
    return {meaning: counts[meaning] for meaning in WORST_FIRST if counts[meaning]}


Uploads = Sequence[UploadRecord | SumRecord]


def _rows(leakage: Sequence[LeakageRecord], uploads: Uploads, measure: Measure) -> list[Row]:
    groups: dict[tuple[str, Attacker], list[LeakageRecord]] = {}
    for record in leakage:
        groups.setdefault((record.who, record.attacker), []).append(record)
    order = {u.group: i for i, u in reversed(list(enumerate(uploads)))}
    keys = sorted(groups, key=lambda k: (order.get(k[0], len(uploads)), k[1] != NAIVE))
    return [_row(*key, groups[key], uploads, measure) for key in keys]


def _row(
    group: str,
    attacker: Attacker,
    examples: Sequence[LeakageRecord],
    uploads: Uploads,
    measure: Measure,
) -> Row:
    scored = [
        (figure, r.score) for r in examples if (figure := r.score.figure(measure)) is not None
    ]
    own = [u for u in uploads if u.group == group]
    sizes = [u.bytes for u in own if u.bytes is not None]
    told = [s.labels_told or (int(s.label == s.label_found), 1) for _, s in scored if s.told_label]
    return Row(
        group=group,
        defense=_in_words(own[0].defenses) if own else NO_DEFENSE,
        attacker=attacker,
        examples=len(examples),
        meanings=dict(Counter(r.score.meaning for r in examples)),
        measure=measure,
        scores=[figure for figure, _ in scored],
        baseline=[score.blind(measure) for _, score in scored],
        labels=(sum(right for right, _ in told), sum(asked for _, asked in told)),
        upload_bytes=statistics.fmean(sizes) if sizes else None,
        privacy=most_spent(u for u in own if isinstance(u, UploadRecord)),
        doubts=dict(Counter(r.score.doubts[0] for r in examples if r.score.doubts)),
        defended=any(d.name != NO_DEFENSE and not d.is_check for u in own[:1] for d in u.defenses),
    )


def most_spent(uploads: Iterable[UploadRecord]) -> PrivacySpent | None:
    """Return the privacy spent by the client that has spent most.

    None if an upload has no mechanism; if one has no epsilon, its own privacy, with the reason.
    """
    spent = [u.privacy for u in uploads if u.privacy is not None or not u.problem]
    known = [s for s in spent if s is not None]
    if len(known) < len(spent):
        return None
    return max(known, key=lambda s: math.inf if s.epsilon is None else s.epsilon, default=None)


def _in_words(defenses: Sequence[Component]) -> str:
    """Return a chain of defenses as ``gaussian-noise std=0.01 (variance 0.0001), fp16``."""
    chain = []
    for defense in defenses:
        numbers = (f"{k}={v:g}" for k, v in defense.numbers.items())
        words = [defense.name, *numbers, in_other_units([defense])]
        chain.append(" ".join(filter(None, words)))
    return ", ".join(chain) or NO_DEFENSE


def in_other_units(defenses: Iterable[Component]) -> str:
    """Return the strengths of defenses in other units as ``(variance 0.0001)``, or nothing."""
    units = [f"{k} {v:.3g}" for defense in defenses for k, v in defense.units.items()]
    return f"({', '.join(units)})" if units else ""
