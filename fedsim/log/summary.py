"""A run in short: one row for each client group and attacker.

Reads records alone, so it works on a run that is going on, finished, or dead, without torch.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from fedsim.core.errors import RunError
from fedsim.core.measures import Measure, accuracy_name
from fedsim.log.reader import of_kind
from fedsim.log.schema import (
    CONTROL,
    NAIVE,
    NO_DEFENSE,
    Attacker,
    Component,
    LeakageRecord,
    LogRecord,
    Meaning,
    ReconstructionRecord,
    RoundRecord,
    RunEnded,
    RunStarted,
    SumRecord,
    UploadRecord,
)


@dataclass(frozen=True)
class Row:
    """Leakage of one client group under one attacker, over all rounds.

    Attributes:
        group: the client group, or the positive control.
        defense: of the group's uploads, in words.
        attacker: naive or adaptive.
        examples: private examples that were attacked.
        meanings: how many of them have each meaning.
        measure: of the scores.
        scores: of those that could be scored.
        baseline: the best blind guess for each of those.
        labels_right: share of the labels that the attack assigned which are right; None if it
            assigned none.
        upload_bytes: mean size of the group's uploads.
        epsilon: the most that one of its clients has spent of differential privacy; None if
            nothing is guaranteed.
    """

    group: str
    defense: str
    attacker: Attacker
    examples: int
    meanings: dict[Meaning, int]
    measure: Measure
    scores: list[float]
    baseline: list[float]
    labels_right: float | None
    upload_bytes: float | None
    epsilon: float | None = None

    def count(self, meaning: Meaning) -> int:
        """Return the number of examples of a meaning."""
        return self.meanings.get(meaning, 0)


@dataclass(frozen=True)
class Summary:
    """A run in short.

    Attributes:
        rows: in the order in which the groups first appear; the control last.
        measure: of the rows' scores.
        accuracy: of the global model on test data, by round.
        accuracy_name: what that is called.
        problems: uploads that could not be used: round, client, why.
        lost: rounds of a secure aggregation without a sum: round, why.
        failures: attacks without a reconstruction: victim, why.
        approximate: whether several local steps, or batches of several clients that are not
            one batch, were taken for one by the attack.
        random_label: share of labels that a random guess has right, the labels' blind baseline.
        status: finished, interrupted or failed; None while the run goes on or if it died.
        error: why a run failed.
        seconds: how long it took.
    """

    rows: list[Row]
    measure: Measure
    accuracy: dict[int, float]
    accuracy_name: str = accuracy_name("classify")
    problems: list[tuple[int, int, str]] = field(default_factory=list)
    failures: list[tuple[str, str]] = field(default_factory=list)
    lost: list[tuple[int, str]] = field(default_factory=list)
    approximate: bool = False
    random_label: float | None = None
    status: str | None = None
    error: str | None = None
    seconds: float | None = None

    @property
    def control(self) -> Row | None:
        """The positive control's row, if there was an attack."""
        return next((r for r in self.rows if r.group == CONTROL), None)

    @property
    def control_failed(self) -> bool:
        """Whether some positive control was not rebuilt."""
        return (
            self.control is not None and self.control.count(Meaning.LEAKED) < self.control.examples
        )


def summarise(records: Iterable[LogRecord]) -> Summary:
    """Return the summary of a run's records.

    Raises:
        RunError: there is no record yet.
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
        random_label=start.random_label,
        status=None if end is None else end.status,
        error=None if end is None else end.error,
        seconds=None if end is None else end.seconds,
    )


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
    right = [s.label == s.label_found for _, s in scored if s.label_found is not None]
    return Row(
        group=group,
        defense=_in_words(own[0].defenses) if own else NO_DEFENSE,
        attacker=attacker,
        examples=len(examples),
        meanings=dict(Counter(r.score.meaning for r in examples)),
        measure=measure,
        scores=[figure for figure, _ in scored],
        baseline=[score.blind(measure) for _, score in scored],
        labels_right=sum(right) / len(right) if right else None,
        upload_bytes=statistics.fmean(sizes) if sizes else None,
        epsilon=_epsilon(own),
    )


def _epsilon(uploads: Uploads) -> float | None:
    spent = [u.privacy for u in uploads if isinstance(u, UploadRecord) and not u.problem]
    epsilons = [s.epsilon for s in spent if s is not None and s.epsilon is not None]
    return max(epsilons) if epsilons and len(epsilons) == len(spent) else None


def _in_words(defenses: Sequence[Component]) -> str:
    """Return a chain of defenses as ``gaussian-noise std=0.01, fp16``."""
    chain = []
    for defense in defenses:
        numbers = ((k, v) for k, v in defense.parameters.items() if isinstance(v, int | float))
        chain.append(" ".join([defense.name, *(f"{k}={v:g}" for k, v in numbers)]))
    return ", ".join(chain) or NO_DEFENSE
