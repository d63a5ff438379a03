"""Table of the single victims of a comparison: a row for each example and attacker."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from fedsim.core.errors import RunError
from fedsim.core.measures import Measure
from fedsim.log.comparison import CELLS
from fedsim.log.reader import of_kind, read_records
from fedsim.log.results import given_of
from fedsim.log.schema import (
    LeakageRecord,
    LogRecord,
    ReconstructionRecord,
    RunStarted,
    UploadRecord,
)
from fedsim.scenario.comparison import Comparison
from fedsim.scenario.grid import Place
from fedsim.show.comparison.tables import Value, only

Record = dict[str, Value]


def single_victims(comparison: Comparison, places: Iterable[tuple[Place, Path]]) -> list[Record]:
    """Return a record for each private example, attacker, stage and run, with unrounded figures.

    Controls are left out. All records have the same keys.

    Args:
        comparison: the comparison, with its stages.
        places: each cell with its run folder; folders without a readable run are skipped.
    """
    stages = {r: name for name, r in comparison.stages.items()}
    found: list[Record] = []
    for place, folder in places:
        try:
            found += _of_run(place, list(read_records(folder)), stages)
        except RunError:
            continue
    keys = dict.fromkeys(key for record in found for key in record)
    return [{key: record.get(key) for key in keys} for record in found]


def _of_run(place: Place, records: Sequence[LogRecord], stages: dict[int, str]) -> list[Record]:
    """Return the records of one run."""
    starts = of_kind(records, RunStarted)
    attacks = {r.victim: r for r in of_kind(records, ReconstructionRecord)}
    chains = {u.partition: u.defenses for u in of_kind(records, UploadRecord)}
    given = given_of(place, next(iter(chains.values()), ()))
    return [
        {
            "defense": place.label,
            "strength": place.strength or given,
            "value": place.value if place.strength else only(given),
            **(dict(place.settings) if len(place.settings) > 1 else {}),
            "stage": stages[leakage.round],
            "round": leakage.round,
            "seed": place.seed,
            "client": leakage.partition,
            "attacker": leakage.attacker,
            **_score(leakage, starts[0].measure),
            **_attack(attacks.get(leakage.victim)),
            "run": f"{CELLS}/{place.place}",
        }
        for leakage in of_kind(records, LeakageRecord)
        if leakage.round in stages and not leakage.is_control
    ]


def _score(leakage: LeakageRecord, measure: Measure) -> Record:
    score = leakage.score
    figure = score.figure(measure)
    return {
        "example": score.example,
        "verdict": score.meaning.value,
        "doubts": ", ".join(d.value for d in score.doubts),
        f"{measure.key}_{measure.column}": figure,
        f"blind_{measure.column}": score.blind(measure),
        "recovered": figure is not None and figure >= measure.recovered,
        **{k: v for k, v in score.metrics.items() if k != measure.key},
        "label": score.label,
        "label_found": score.label_found,
    }


def _attack(attack: ReconstructionRecord | None) -> Record:
    if attack is None:
        return {}
    return {
        "attack": attack.attack,
        "objective": attack.objective,
        "truth_objective": attack.truth_objective,
        "evaluations": attack.evaluations,
        "seconds": attack.seconds,
        "error": attack.error,
    }
