"""What the runs of a comparison come to; read from their logs alone, without torch."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fedsim.core.errors import RunError
from fedsim.core.measures import TASKS, Measure, measure_of
from fedsim.log.files import Record, read_records
from fedsim.log.summary import ATTACK_FAILED, LEAKED, PROTECTED, UNSCORED
from fedsim.scenario.comparison import Comparison, Place


@dataclass(frozen=True)
class Result:
    """A defense at one strength, at one stage of the training, under one attacker; all seeds.

    Attributes:
        label, strength, value, order: as of the cell.
        stage: name of the stage.
        attacker: naive or adaptive.
        known_answer: whether an adaptive attacker has an answer to this defense; if not, the
            naive one stands for both.
        meanings: how many private examples (pictures or texts) have each meaning.
        measure: what the scores are.
        scores: of each example that could be scored.
        second: the measure's second figure of each of them.
        blind: the best blind guess's score for each of them.
        accuracy: of the global model on test data at the end, by seed: the mean over the last
            measurements, of which the comparison says how many.
        accuracy_name: what that is called.
        upload_bytes: mean size of an upload.
        attack_seconds: mean time for a victim.
        run_seconds: mean time of a run, all stages and attackers.
        epsilon: the most that a client has spent at the end; None without a guarantee.
        chance: accuracy of a model that has learnt nothing.
        controls: positive controls at this stage, and how many of them were rebuilt.
    """

    label: str
    strength: str
    value: float | None
    order: tuple[int, int]
    stage: str
    attacker: str
    known_answer: bool
    meanings: dict[str, int]
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

    @property
    def name(self) -> str:
        """The defense and its strength."""
        return f"{self.label} {self.strength}".strip()

    @property
    def images(self) -> int:
        """How many private examples were attacked."""
        return sum(self.meanings.values())

    @property
    def leaked(self) -> int:
        """How many of them are recognisable."""
        return self.meanings.get(LEAKED, 0)

    @property
    def protected(self) -> int:
        """How many the upload no longer points to."""
        return self.meanings.get(PROTECTED, 0)

    @property
    def attack_failed(self) -> int:
        """How many a better attack may find."""
        return self.meanings.get(ATTACK_FAILED, 0)

    @property
    def unscored(self) -> int:
        """For how many the attack came to nothing."""
        return self.meanings.get(UNSCORED, 0)

    @property
    def recovered(self) -> int:
        """How many came back as they were: at 30 dB or more, or with every token right."""
        return sum(score >= self.measure.recovered for score in self.scores)

    @property
    def mean_accuracy(self) -> float | None:
        """Mean over the seeds."""
        return statistics.fmean(self.accuracy) if self.accuracy else None


@dataclass
class _Pool:
    """What is gathered for one result."""

    cell: Place
    known_answer: bool = False
    leakage: list[Record] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)


@dataclass
class _Runs:
    """What is gathered over the runs of one defense at one strength."""

    accuracy: list[float] = field(default_factory=list)
    accuracy_name: str = TASKS["classify"]
    upload_bytes: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    epsilon: list[float | None] = field(default_factory=list)
    chance: float = 0.0
    controls: dict[str, list[bool]] = field(default_factory=dict)


def results(comparison: Comparison, folders: Iterable[tuple[Place, Path]]) -> list[Result]:
    """Return the results of the runs that there are.

    Args:
        comparison: names the stages.
        folders: each cell with its run folder; those without a readable run are left out.
    """
    pools: dict[tuple[tuple[int, int], str, str], _Pool] = {}
    runs: dict[tuple[int, int], _Runs] = {}
    for cell, folder in folders:
        try:
            records = list(read_records(folder))
        except RunError:
            continue
        _gather(comparison, cell, records, pools, runs.setdefault(cell.order, _Runs()))
    stages = list(comparison.stages)
    keys = sorted(pools, key=lambda k: (stages.index(k[1]), k[0], k[2] != "naive"))
    return [_result(pools[k], runs[k[0]], k[1], k[2]) for k in keys]


def _gather(
    comparison: Comparison,
    cell: Place,
    records: Sequence[Record],
    pools: dict[tuple[tuple[int, int], str, str], _Pool],
    runs: _Runs,
) -> None:
    accuracy = {r["round"]: r["accuracy"] for r in records if r["kind"] == "round"}
    uploads = [r for r in records if r["kind"] == "upload" and not r["problem"]]
    seconds = {r["victim"]: r["seconds"] for r in records if r["kind"] == "reconstruction"}
    end = next((r for r in records if r["kind"] == "end"), None)
    start: Record = next((r for r in records if r["kind"] == "run"), {})
    # Older logs know pictures and their labels alone.
    runs.chance = float(start.get("chance") or start.get("random_label") or 0.0)
    runs.accuracy_name = TASKS[start.get("task", "classify")]
    if accuracy:
        last_rounds = sorted(accuracy)[-comparison.last_evaluations :]
        runs.accuracy.append(statistics.fmean(accuracy[r] for r in last_rounds))
    if end is not None:
        runs.seconds.append(end["seconds"])
    runs.upload_bytes += [u["bytes"] for u in uploads if u["bytes"] is not None]
    last: dict[int, float | None] = {}
    for upload in uploads:
        spent = upload.get("privacy")
        last[upload["partition"]] = None if spent is None else spent["epsilon"]
    runs.epsilon += list(last.values())
    for stage, server_round in comparison.stages.items():
        own = [r for r in records if r["kind"] == "leakage" and r["round"] == server_round]
        controls = runs.controls.setdefault(stage, [])
        controls += [r["meaning"] == LEAKED for r in own if r["group"] is None]
        victims = [r for r in own if r["group"] is not None]
        answered = any(r["attacker"] == "adaptive" for r in victims)
        for record in victims:
            attackers = [record["attacker"]]
            if comparison.adaptive and not answered:
                # Who knows the defense and has no answer attacks as if he did not.
                attackers.append("adaptive")
            for attacker in attackers:
                pool = pools.setdefault((cell.order, stage, attacker), _Pool(cell))
                pool.known_answer = answered
                pool.leakage.append(record)
                pool.seconds.append(seconds[record["victim"]])


def _result(pool: _Pool, runs: _Runs, stage: str, attacker: str) -> Result:
    measure = measure_of(pool.leakage[0])
    scored = [r for r in pool.leakage if measure.of(r) is not None]
    meanings: dict[str, int] = {}
    for record in pool.leakage:
        meanings[record["meaning"]] = meanings.get(record["meaning"], 0) + 1
    controls = runs.controls.get(stage, [])
    spent = [e for e in runs.epsilon if e is not None]
    return Result(
        label=pool.cell.label,
        strength=pool.cell.strength,
        value=pool.cell.value,
        order=pool.cell.order,
        stage=stage,
        attacker=attacker,
        known_answer=pool.known_answer,
        meanings=meanings,
        measure=measure,
        scores=[r[measure.key] for r in scored],
        second=[r[measure.second] for r in scored],
        blind=[measure.blind(r) for r in scored],
        accuracy=runs.accuracy,
        accuracy_name=runs.accuracy_name,
        upload_bytes=_mean(runs.upload_bytes),
        attack_seconds=_mean(pool.seconds),
        run_seconds=_mean(runs.seconds),
        epsilon=max(spent) if spent and len(spent) == len(runs.epsilon) else None,
        chance=runs.chance,
        controls=(len(controls), sum(controls)),
    )


def _mean(values: Sequence[float]) -> float | None:
    return statistics.fmean(values) if values else None
