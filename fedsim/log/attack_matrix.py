"""Attacks of a comparison against each of its defenses, read from the logs without torch."""

from __future__ import annotations

import json
import math
import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fedsim.core.errors import RunError
from fedsim.core.measures import Measure
from fedsim.log.check_counts import CheckCount, added, check_counts
from fedsim.log.comparison import cell_folder, is_finished
from fedsim.log.malice import false_alarms
from fedsim.log.reader import of_kind, read_inside, read_records
from fedsim.log.schema import LeakageRecord, LogRecord, Meaning, RunEnded, RunStarted, UploadRecord
from fedsim.log.summary import WORST_FIRST, Summary, most_spent, summarise
from fedsim.scenario.comparison import Comparison
from fedsim.scenario.grid import Place

UNSUITED = "unsuited.json"
"""File with the reasons why runs of a comparison are impossible, by their places."""


@dataclass(frozen=True)
class Pairing:
    """Results of an attack against a defense, over all seeds and attacked rounds.

    Attributes:
        attack: name of the attack.
        defense: the defense, with its strength.
        recovered: number of recovered examples.
        asked: number of attacked examples of the uploads that the server got.
        meanings: number of examples by what the attacker who learnt most learnt of each.
        measure: measure of the scores; None without a finished run.
        expected: share of a batch that the server expected; None if it expected none.
        changed: accuracy of the changed models, and of the honest ones of the same rounds; None if
            no model was changed.
        accuracy: accuracy at the end.
        refused: number of uploads that a check refused in attacked rounds.
        noticed: number of clients that received a changed model and suspected it, by check.
        receivers: number of clients that received a changed model, or served the attack.
        checked: number of checked honest models.
        alarms: number of honest models among them that a check suspected.
        checks: what each check examined and suspected, by its name.
        epsilon: largest epsilon that a client has spent; None without a guarantee.
        problem: reason for a missing run, or for a missing upload, or None.
    """

    attack: str
    defense: str
    recovered: int = 0
    asked: int = 0
    meanings: dict[Meaning, int] = field(default_factory=dict)
    measure: Measure | None = None
    expected: float | None = None
    changed: tuple[float, float] | None = None
    accuracy: float | None = None
    refused: int = 0
    noticed: dict[str, int] = field(default_factory=dict)
    receivers: int = 0
    checked: int = 0
    alarms: int = 0
    checks: dict[str, CheckCount] = field(default_factory=dict)
    epsilon: float | None = None
    problem: str | None = None

    @property
    def worst(self) -> Meaning | None:
        """Worst meaning of an example for its client, or None if none was attacked."""
        return next((m for m in WORST_FIRST if self.meanings.get(m)), None)

    @property
    def share(self) -> float | None:
        """Share of the attacked examples that were recovered, or None without any."""
        return self.recovered / self.asked if self.asked else None


def pairings(comparison: Comparison, folder: Path) -> list[Pairing]:
    """Return each attack of a comparison against each defense; an empty list without attacks.

    Args:
        comparison: the comparison.
        folder: the comparison's folder.
    """
    if not comparison.attacks:
        return []
    unsuited = read_unsuited(folder)
    pairs: dict[tuple[str, str], list[Place]] = {}
    for place in comparison.places:
        pairs.setdefault((place.attack, place.defense), []).append(place)
    return [_pairing(comparison, folder, places, unsuited) for places in pairs.values()]


def write_unsuited(comparison: Comparison, folder: Path) -> None:
    """Write the reasons why runs of a comparison are impossible, if there are any."""
    if comparison.unsuited:
        text = json.dumps(comparison.unsuited, indent=1)
        (folder / UNSUITED).write_text(text, "utf-8")


def read_unsuited(folder: Path) -> dict[str, str]:
    """Return the reasons why runs of a comparison are impossible, by their places."""
    if not (folder / UNSUITED).is_file():
        return {}
    try:
        found = json.loads(read_inside(folder, UNSUITED))
    except (RunError, ValueError, RecursionError):
        return {}
    return {str(k): str(v) for k, v in found.items()} if isinstance(found, dict) else {}


def _pairing(
    comparison: Comparison, folder: Path, places: Sequence[Place], unsuited: dict[str, str]
) -> Pairing:
    """Return the results of one attack against one defense."""
    attack, defense = places[0].attack, places[0].defense
    runs: list[list[LogRecord]] = []
    problem = "this run is not finished"
    for place in places:
        path = cell_folder(folder, place)
        if place.place in unsuited:
            return Pairing(attack, defense, problem=unsuited[place.place])
        if is_finished(path):
            runs.append(list(read_records(path)))
        else:
            problem = _failure(path) or problem
    if not runs:
        return Pairing(attack, defense, problem=problem)
    return _scored(attack, defense, runs, comparison.last_evaluations)


def _failure(folder: Path) -> str | None:
    """Return the reason for which a run failed, or None."""
    try:
        ends = of_kind(read_records(folder), RunEnded)
    except RunError:
        return None
    return next((end.error for end in ends if end.error), None)


def _scored(attack: str, defense: str, runs: Sequence[Sequence[LogRecord]], last: int) -> Pairing:
    """Return the results of an attack against a defense from the records of its runs."""
    summaries = [summarise(records) for records in runs]
    best = [example for records in runs for example in _best(records)]
    sent = [m for s in summaries for m in s.manipulations]
    deeds = [_answers(s) for s in summaries]
    noticed: Counter[str] = Counter()
    refused = 0
    for summary, answers in zip(summaries, deeds, strict=True):
        own = [n for n in summary.noticed if n[:2] in answers]
        noticed.update(name for _, _, name, _ in own)
        refused += len({n[:2] for n in own if n[3]})
    changed = [m for m in sent if m.tensors]
    accuracy = [statistics.fmean(list(s.accuracy.values())[-last:]) for s in summaries]
    spent = [most_spent(u for u in of_kind(r, UploadRecord)) for r in runs]
    epsilons = [s.epsilon for s in spent if s is not None and s.epsilon is not None]
    return Pairing(
        attack,
        defense,
        recovered=sum(recovered for recovered, _ in best),
        asked=len(best),
        meanings=dict(Counter(meaning for _, meaning in best)),
        measure=of_kind(runs[0], RunStarted)[0].measure,
        expected=_mean([m.expected for m in sent if m.expected is not None]),
        changed=(
            (
                statistics.fmean(m.accuracy for m in changed),
                statistics.fmean(m.honest_accuracy for m in changed),
            )
            if changed
            else None
        ),
        accuracy=_mean(accuracy),
        refused=refused,
        noticed=dict(noticed),
        receivers=sum(map(len, deeds)),
        checked=sum(s.checked for s in summaries),
        alarms=sum(len(false_alarms(s)) for s in summaries),
        checks=added(
            check_counts(of_kind(r, UploadRecord), answers)
            for r, answers in zip(runs, deeds, strict=True)
        ),
        epsilon=max(epsilons) if len(epsilons) == len(runs) else None,
        problem=None if best or refused else _no_upload(summaries),
    )


def _no_upload(summaries: Sequence[Summary]) -> str:
    """Return the reason for which nothing was attacked."""
    reasons = [
        *(f"there is no sum: {why}" for s in summaries for _, why in s.lost),
        *(f"{victim}: {why}" for s in summaries for victim, why in s.failures),
        *(f"client {client}: {why}" for s in summaries for _, client, why in s.problems),
    ]
    return next(iter(reasons), "nothing was attacked")


def _answers(summary: Summary) -> set[tuple[int, int]]:
    """Return round and client of all who received a changed model or served the attack."""
    return {
        (sent.round, client)
        for sent in summary.manipulations
        for client in (*sent.partitions, *sent.others)
    }


def _best(records: Sequence[LogRecord]) -> list[tuple[bool, Meaning]]:
    """Return whether each attacked example was recovered by some attacker, and its worst meaning.

    Examples of clients that refused the round are left out: they gave no upload.
    """
    [start] = of_kind(records, RunStarted)
    refused = {(u.round, u.partition) for u in of_kind(records, UploadRecord) if u.refused}
    figures: dict[tuple[int, int | None, int], float] = {}
    worst: dict[tuple[int, int | None, int], Meaning] = {}
    for record in of_kind(records, LeakageRecord):
        if record.is_control or (record.round, record.partition) in refused:
            continue
        key, meaning = (record.round, record.partition, record.score.example), record.score.meaning
        figure = record.score.figure(start.measure)
        figures[key] = max(figures.get(key, -math.inf), -math.inf if figure is None else figure)
        worst[key] = min(worst.get(key, meaning), meaning, key=WORST_FIRST.index)
    return [(figure >= start.measure.recovered, worst[key]) for key, figure in figures.items()]


def _mean(values: Iterable[float]) -> float | None:
    known = list(values)
    return statistics.fmean(known) if known else None
