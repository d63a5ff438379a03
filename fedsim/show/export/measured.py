"""Figures, settings and pictures of a run, in the form that trackers of experiments take."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedsim.log.comparison import COMPARISON, cell_folder, is_finished, read_comparison
from fedsim.log.reader import inside
from fedsim.log.run import Run
from fedsim.log.schema import LeakageRecord, Meaning, RoundRecord
from fedsim.scenario.grid import distinct

PICTURES = 64
"""Maximum number of pictures of a run that are exported."""

Setting = str | int | float | bool


@dataclass(frozen=True)
class Point:
    """One figure at one time.

    Attributes:
        name: its name, with slashes between its parts.
        round: the round.
        value: the figure.
    """

    name: str
    round: int
    value: float


@dataclass(frozen=True)
class Measured:
    """One run.

    Attributes:
        name: its title with its seed, unique in the export.
        group: title of the comparison; empty for a run alone.
        settings: values of the scenario, by dotted names.
        points: figures, by round.
        pictures: pictures of the attacked examples, by name.
        started: time at which the run began, in ISO format, or None.
    """

    name: str
    group: str
    settings: Mapping[str, Setting]
    points: list[Point]
    pictures: Mapping[str, Path]
    started: str | None


def measured(folder: Path) -> list[Measured]:
    """Return a run, or each finished run of a comparison.

    Raises:
        RunError: it is neither, or it cannot be read.
    """
    if not (folder / COMPARISON).is_file():
        return [_of_run(Run.read(folder), "")]
    comparison = read_comparison(folder)
    places = ((p, cell_folder(folder, p)) for p in distinct(comparison.places))
    return [_of_run(Run.read(f), comparison.title) for p, f in places if is_finished(f)]


def _of_run(run: Run, group: str) -> Measured:
    names = sorted(p.name for p in (run.folder / "pictures").glob("r*-*.png"))[:PICTURES]
    pictures = [inside(run.folder, f"pictures/{name}") for name in names]
    started = run.start.started
    return Measured(
        f"{run.title}, seed {run.start.seed}",
        group,
        dict(_flat(run.scenario)),
        [*_accuracy(run), *_leakage(run)],
        {p.stem: p for p in pictures},
        None if started is None else str(started),
    )


def _accuracy(run: Run) -> Iterator[Point]:
    for record in run.of_kind(RoundRecord):
        yield Point("accuracy", record.round, record.accuracy)


def _leakage(run: Run) -> Iterator[Point]:
    """Yield the leakage of each round, group and attacker: scores, blind guess, shares."""
    measure = run.start.measure
    found: dict[tuple[int, str, str], list[LeakageRecord]] = {}
    for record in run.of_kind(LeakageRecord):
        found.setdefault((record.round, record.who, record.attacker), []).append(record)
    for (server_round, who, attacker), records in sorted(found.items()):
        at = f"leakage/{who}/{attacker}"
        known = [r.score for r in records if r.score.figure(measure) is not None]
        figures = [f for s in known if (f := s.figure(measure)) is not None]
        column = f"{measure.key}_{measure.column}"
        if figures:
            yield Point(f"{at}/{column}_mean", server_round, statistics.fmean(figures))
            yield Point(f"{at}/{column}_worst", server_round, max(figures))
            blind = statistics.fmean(s.blind(measure) for s in known)
            yield Point(f"{at}/{column}_blind", server_round, blind)
        for meaning in (Meaning.LEAKED, Meaning.PARTLY, Meaning.PROTECTED, Meaning.ATTACK_FAILED):
            share = sum(r.score.meaning is meaning for r in records) / len(records)
            yield Point(f"{at}/{meaning.value.replace(' ', '_')}", server_round, share)


def _flat(tables: object, at: str = "") -> Iterator[tuple[str, Setting]]:
    """Yield the values of nested tables by their dotted names."""
    if isinstance(tables, Mapping):
        for key, value in tables.items():
            yield from _flat(value, f"{at}.{key}" if at else str(key))
    elif isinstance(tables, list) and any(isinstance(v, dict | list) for v in tables):
        for position, value in enumerate(tables):
            yield from _flat(value, f"{at}.{position}")
    elif tables is not None:
        yield at, _plain(tables)


def _plain(value: Any) -> Setting:
    return value if isinstance(value, str | int | float | bool) else str(value)
