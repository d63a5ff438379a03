"""Results of a comparison, read from the logs of its runs without torch."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fedsim.core.errors import RunError
from fedsim.core.measures import Measure, accuracy_name
from fedsim.core.names import ATTACKERS, SUM
from fedsim.log.reader import of_kind, read_records
from fedsim.log.schema import (
    ADAPTIVE,
    NAIVE,
    Attacker,
    Component,
    Doubt,
    LeakageRecord,
    LogRecord,
    Meaning,
    PrivacySpent,
    ReconstructionRecord,
    RoundRecord,
    RunEnded,
    RunStarted,
    UploadRecord,
)
from fedsim.log.summary import in_other_units, most_spent
from fedsim.scenario.comparison import Comparison
from fedsim.scenario.grid import Place, Settings, in_brief, in_settings


@dataclass(frozen=True)
class Result:
    """Result of a defense at one strength, stage and attacker, over all seeds.

    Attributes:
        label, strength, value, order: those of the cell.
        stage: name of the stage.
        attacker: naive, adaptive, or that of all rounds together.
        known_answer: whether there is a countermeasure to this defense; otherwise the naive
            attacker represents both.
        meanings: number of private examples with each meaning.
        measure: measure of the scores.
        scores: score of each example that could be scored.
        second: secondary measure of each of these examples.
        blind: score of the best blind guess for each of these examples.
        accuracy: accuracy of the global model on test data at the end, by seed: the mean over the
            comparison's number of last measurements.
        accuracy_name: name of the accuracy.
        upload_bytes: mean size of an upload.
        attack_seconds: mean time for a victim.
        run_seconds: mean time of a run, with all stages and attackers.
        epsilon: largest epsilon that a client has spent at the end; None without a guarantee.
        privacy: privacy spent by that client; None without a mechanism.
        chance: chance accuracy.
        controls: number of positive controls at this stage, and of reconstructed ones.
        batches: whether an example leaked, in part or fully, for each attacked batch and seed.
        apart: number of failed attacks whose only fault is that rounds with the same example were
            not combined.
        summed: whether only sums of several clients' uploads were visible.
        units: the strength in other units, in brackets; empty if there are none.
        settings: name and value of each parameter that varies.
        given: all numbers of the defenses, and the single changes of the scenario, as text.
        chain: names of the client's defenses.
    """

    label: str
    strength: str
    value: float | None
    order: tuple[int, int]
    stage: str
    attacker: Attacker
    known_answer: bool
    meanings: dict[Meaning, int]
    measure: Measure
    scores: list[float]
    second: list[float]
    blind: list[float]
    accuracy: list[float]
    accuracy_name: str
    upload_bytes: float | None
    attack_seconds: float | None
    run_seconds: float | None
    epsilon: float | None
    chance: float
    controls: tuple[int, int]
    privacy: PrivacySpent | None = None
    batches: tuple[bool, ...] = ()
    apart: int = 0
    summed: bool = False
    units: str = ""
    settings: Settings = ()
    given: str = ""
    chain: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Name of the defense with its strength."""
        return f"{self.label} {self.strength}".strip()

    @property
    def brief(self) -> str:
        """The strength without the name of its parameter, if there is only one."""
        return in_brief(self.settings)

    @property
    def repeats_naive(self) -> bool:
        """Whether this is the naive attacker's result again, for lack of an adaptive attacker."""
        return self.attacker == ADAPTIVE and not self.known_answer

    @property
    def examples(self) -> int:
        """Number of private examples that were attacked and hold something to leak."""
        return sum(self.meanings.values()) - self.meanings.get(Meaning.NOTHING, 0)

    @property
    def leaked(self) -> int:
        """Number of recognisable examples."""
        return self.meanings.get(Meaning.LEAKED, 0)

    @property
    def partly(self) -> int:
        """Number of partly leaked examples."""
        return self.meanings.get(Meaning.PARTLY, 0)

    @property
    def protected(self) -> int:
        """Number of examples that the upload no longer points to."""
        return self.meanings.get(Meaning.PROTECTED, 0)

    @property
    def attack_failed(self) -> int:
        """Number of examples that a better attack may find."""
        return self.meanings.get(Meaning.ATTACK_FAILED, 0)

    @property
    def unscored(self) -> int:
        """Number of examples without a reconstruction."""
        return self.meanings.get(Meaning.UNSCORED, 0)

    @property
    def recovered(self) -> int:
        """Number of recovered examples: at 30 dB or more, or with every token right."""
        return sum(score >= self.measure.recovered for score in self.scores)

    @property
    def mean_accuracy(self) -> float | None:
        """Mean accuracy over the seeds."""
        return statistics.fmean(self.accuracy) if self.accuracy else None


@dataclass
class _Pool:
    """The records behind one result."""

    cell: Place
    measure: Measure
    known_answer: bool = False
    leakage: list[LeakageRecord] = field(default_factory=list)
    batches: dict[tuple[int, str], bool] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)


Pools = dict[tuple[tuple[int, int], str, Attacker], _Pool]
"""Pools by the order of the cell, the stage and the attacker."""


@dataclass
class _Runs:
    """Figures of all runs of one defense at one strength."""

    accuracy: list[float] = field(default_factory=list)
    accuracy_name: str = accuracy_name("classify")
    upload_bytes: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    last: list[UploadRecord] = field(default_factory=list)
    chance: float = 0.0
    controls: dict[str, list[bool]] = field(default_factory=dict)


def results(comparison: Comparison, folders: Iterable[tuple[Place, Path]]) -> list[Result]:
    """Return the results of the existing runs; folders without a readable one are skipped."""
    pools: Pools = {}
    runs: dict[tuple[int, int], _Runs] = {}
    for cell, folder in folders:
        try:
            records = list(read_records(folder))
        except RunError:
            continue
        if not records:
            continue
        _gather(comparison, cell, records, pools, runs.setdefault(cell.order, _Runs()))
    stages = list(comparison.stages)
    keys = sorted(pools, key=lambda k: (stages.index(k[1]), k[0], ATTACKERS.index(k[2])))
    return [_result(pools[k], runs[k[0]], k[1], k[2]) for k in keys]


def _gather(
    comparison: Comparison, cell: Place, records: Sequence[LogRecord], pools: Pools, runs: _Runs
) -> None:
    """Add one run's records to the figures of its defense and strength."""
    [start] = of_kind(records, RunStarted)
    runs.chance = start.chance
    runs.accuracy_name = accuracy_name(start.task)
    accuracy = {r.round: r.accuracy for r in of_kind(records, RoundRecord)}
    if accuracy:
        last_rounds = sorted(accuracy)[-comparison.last_evaluations :]
        runs.accuracy.append(statistics.fmean(accuracy[r] for r in last_rounds))
    runs.seconds += [end.seconds for end in of_kind(records, RunEnded)]
    uploads = [u for u in of_kind(records, UploadRecord) if not u.problem]
    runs.upload_bytes += [u.bytes for u in uploads if u.bytes is not None]
    runs.last += {u.partition: u for u in uploads}.values()
    for stage, server_round in comparison.stages.items():
        own = [r for r in of_kind(records, LeakageRecord) if r.round == server_round]
        controls = runs.controls.setdefault(stage, [])
        controls += [r.score.meaning is Meaning.LEAKED for r in own if r.is_control]
        _pool(comparison, cell, stage, records, [r for r in own if not r.is_control], pools)


def _pool(
    comparison: Comparison,
    cell: Place,
    stage: str,
    records: Sequence[LogRecord],
    victims: Sequence[LeakageRecord],
    pools: Pools,
) -> None:
    """Add the scores of one run at one stage to their results."""
    [start] = of_kind(records, RunStarted)
    seconds = {r.victim: r.seconds for r in of_kind(records, ReconstructionRecord)}
    answered = any(r.attacker == ADAPTIVE for r in victims)
    for record in victims:
        attackers = [record.attacker]
        if comparison.adaptive and not answered and record.attacker == NAIVE:
            # Without a countermeasure, an attacker who knows the defense equals the naive one.
            attackers.append(ADAPTIVE)
        for attacker in attackers:
            new = _Pool(cell, start.measure)
            pool = pools.setdefault((cell.order, stage, attacker), new)
            pool.known_answer = answered
            pool.leakage.append(record)
            exposed = record.score.meaning in (Meaning.LEAKED, Meaning.PARTLY)
            batch = (cell.seed, record.victim)
            pool.batches[batch] = pool.batches.get(batch, False) or exposed
            pool.seconds += [seconds[record.victim]] if record.victim in seconds else []


def _result(pool: _Pool, runs: _Runs, stage: str, attacker: Attacker) -> Result:
    measure = pool.measure
    scores = [r.score for r in pool.leakage if r.score.figure(measure) is not None]
    controls = runs.controls.get(stage, [])
    privacy = most_spent(runs.last)
    return Result(
        label=pool.cell.label,
        strength=pool.cell.strength,
        value=pool.cell.value,
        order=pool.cell.order,
        stage=stage,
        attacker=attacker,
        known_answer=pool.known_answer,
        meanings=dict(Counter(r.score.meaning for r in pool.leakage)),
        measure=measure,
        scores=_known(s.figure(measure) for s in scores),
        second=_known(s.second(measure) for s in scores),
        blind=[s.blind(measure) for s in scores],
        accuracy=runs.accuracy,
        accuracy_name=runs.accuracy_name,
        upload_bytes=_mean(runs.upload_bytes),
        attack_seconds=_mean(pool.seconds),
        run_seconds=_mean(runs.seconds),
        epsilon=None if privacy is None else privacy.epsilon,
        chance=runs.chance,
        controls=(len(controls), sum(controls)),
        batches=tuple(pool.batches.values()),
        privacy=privacy,
        units=in_other_units(runs.last[0].defenses) if runs.last else "",
        settings=pool.cell.settings,
        given=given_of(pool.cell, runs.last[0].defenses if runs.last else ()),
        chain=tuple(d.name for d in runs.last[0].defenses) if runs.last else (),
        apart=sum(r.score.doubts == (Doubt.ROUNDS_APART,) for r in pool.leakage),
        summed=any(r.group == SUM for r in pool.leakage),
    )


def given_of(cell: Place, defenses: Sequence[Component]) -> str:
    """Return the numbers of a chain of defenses and the single changes of the scenario."""
    numbers = (in_settings(tuple(d.numbers.items())) for d in defenses)
    return ", ".join(filter(None, [*numbers, cell.fixed]))


def _known(figures: Iterable[float | None]) -> list[float]:
    return [figure for figure in figures if figure is not None]


def _mean(values: Sequence[float]) -> float | None:
    return statistics.fmean(values) if values else None
