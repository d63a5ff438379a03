"""Heat maps of two-way sweeps: each value of one parameter with each value of another."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from fedsim.log.results import Result
from fedsim.scenario.grid import Setting, Settings, short, slug
from fedsim.show.comparison.tables import distinct
from fedsim.show.terminal.table import NOTHING

_TITLE = "{}, attacked {}, {} attacker"

SIDES = 2
"""Number of parameters that vary in a heat map."""


@dataclass(frozen=True)
class Tile:
    """One cell of a heat map.

    Attributes:
        text: displayed figure.
        share: position between the lowest and the highest colour, from 0 to 1; None if unknown.
        told: all figures of the cell, in words.
    """

    text: str
    share: float | None
    told: str


@dataclass(frozen=True)
class HeatMap:
    """One figure of a sweep, at one stage and from one attacker.

    Attributes:
        key: its name in file names.
        title: name of the sweep with stage and attacker.
        figure: name of the figure.
        names: names of the parameters: of the rows, of the columns.
        rows: values of the first parameter, in the order of the comparison.
        columns: values of the second one.
        tiles: by row and column.
    """

    key: str
    title: str
    figure: str
    names: tuple[str, str]
    rows: Sequence[str]
    columns: Sequence[str]
    tiles: Sequence[Sequence[Tile]]


Cells = Mapping[Settings, Result]


def heat_maps(results: Sequence[Result]) -> list[list[HeatMap]]:
    """Return the heat maps of each sweep, stage and attacker: score, and share leaked."""
    sweeps: dict[tuple[str, str, str], dict[Settings, Result]] = {}
    for r in distinct(results):
        if len(r.settings) == SIDES:
            sweeps.setdefault((r.label, r.stage, r.attacker), {})[r.settings] = r
    return [
        _maps("-".join(map(slug, names)), _TITLE.format(*names), cells)
        for names, cells in sweeps.items()
    ]


def _maps(key: str, title: str, cells: Cells) -> list[HeatMap]:
    """Return both heat maps of a sweep at one stage, from one attacker."""
    found = list(cells.values())
    measure = found[0].measure
    means = [mean for r in found if (mean := _mean(r.scores)) is not None]
    low = min([*means, *(b for r in found if (b := _mean(r.blind)) is not None)], default=0.0)

    def share(r: Result) -> float | None:
        mean = _mean(r.scores)
        if mean is None or mean >= measure.recovered:  # the same colour, however exact
            return None if mean is None else 1.0
        return (mean - low) / (measure.recovered - low)

    return [
        _map(
            (key, title),
            f"mean {measure.axis}",
            cells,
            share,
            lambda r: measure.show(statistics.fmean(r.scores)) if r.scores else NOTHING,
        ),
        _map(
            (key, title),
            measure.leaked,
            cells,
            lambda r: r.leaked / r.examples if r.examples else None,
            lambda r: f"{r.leaked}/{r.examples}",
        ),
    ]


def _map(
    named: tuple[str, str],
    figure: str,
    cells: Cells,
    share: Callable[[Result], float | None],
    text: Callable[[Result], str],
) -> HeatMap:
    """Return the heat map of one figure."""
    names = [key for key, _ in next(iter(cells))]
    rows, columns = (_values(cells, side) for side in range(SIDES))

    def tile(row: Setting, column: Setting) -> Tile:
        r = cells.get(((names[0], row), (names[1], column)))
        return Tile(NOTHING, None, "not run") if r is None else Tile(text(r), share(r), _told(r))

    return HeatMap(
        *named,
        figure,
        (names[0], names[1]),
        [short(row) for row in rows],
        [short(column) for column in columns],
        [[tile(row, column) for column in columns] for row in rows],
    )


def _values(cells: Cells, side: int) -> list[Setting]:
    """Return the values of a parameter: numbers in order, others as in the comparison."""
    values = list(dict.fromkeys(settings[side][1] for settings in cells))
    numbers = [v for v in values if isinstance(v, int | float)]
    return [*sorted(numbers)] if len(numbers) == len(values) else values


def _told(r: Result) -> str:
    measure, mean = r.measure, _mean(r.scores)
    parts = [
        r.strength,
        "no score" if mean is None else f"mean {measure.told(mean)}",
        f"{r.recovered} of {r.examples} {measure.things} recovered",
        f"{r.leaked} recognisable, {r.partly} partly",
        f"{r.attack_failed} attacks failed" if r.attack_failed else "",
        "" if r.mean_accuracy is None else f"{r.accuracy_name} {r.mean_accuracy:.1%}",
    ]
    return "; ".join(filter(None, parts))


def _mean(values: Sequence[float]) -> float | None:
    return statistics.fmean(values) if values else None
