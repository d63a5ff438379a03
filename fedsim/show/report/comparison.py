"""Report of a comparison: the same victim under every defense, frontier and table."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import quote

from fedsim.core.errors import RunError
from fedsim.log.attack_matrix import Pairing, pairings, read_unsuited
from fedsim.log.comparison import CELLS, COMPARISON, cell_folder, is_finished, read_comparison
from fedsim.log.results import Result, results
from fedsim.log.run import Run, legible
from fedsim.log.schema import Source
from fedsim.scenario.comparison import Comparison
from fedsim.scenario.grid import Place, distinct
from fedsim.show.comparison.advice import advice
from fedsim.show.comparison.attack_matrix import (
    MATRIX_LEGEND,
    AttackMatrix,
    attack_rows,
    defense_rows,
    matrix_csv,
    notes_said,
)
from fedsim.show.comparison.check_table import CHECK_LEGEND, check_csv, check_rows
from fedsim.show.comparison.heat import heat_maps
from fedsim.show.comparison.matrix_advice import matrix_advice
from fedsim.show.comparison.tables import WORDS, Value, as_records, as_words, headings
from fedsim.show.report.comparison_charts import comparison_charts
from fedsim.show.report.page import REPORT, as_csv, as_text_file, render, write_page
from fedsim.show.report.run import shown_command
from fedsim.show.report.victims.compared import Compared, Step
from fedsim.show.view import View, view_of

logger = logging.getLogger(__name__)


REFRESH_S = 10
"""Seconds after which the report of a running comparison is read again."""


def write_comparison(
    folder: Path, out: Path | None = None, *, charts: bool = True, running: bool = False
) -> Path:
    """Write the report of a comparison, finished or not, and return its path.

    Args:
        folder: the comparison's folder.
        out: the file to write; by default ``report.html`` in the folder.
        charts: whether to draw charts, whose code is most of the file.
        running: whether the comparison goes on: browsers then read the report again by themselves.

    Raises:
        RunError: the folder has no comparison with a finished run, or the file cannot be written.
    """
    with legible(folder):
        compares = Compares.read(folder)
        html = comparison_page(compares, away=out is not None, charts=charts, running=running)
    return write_page(out or folder / REPORT, html)


def conclude_comparison(folder: Path) -> list[Path]:
    """Write the report at the end of a comparison; a failure is only a warning.

    Returns:
        Its path, or an empty list.
    """
    try:
        return [write_comparison(folder)]
    except Exception as error:
        logger.warning(
            "%s: the report was not written: %s: %s", folder, type(error).__name__, error
        )
        return []


@dataclass(frozen=True)
class Compares:
    """A comparison read from its folder.

    Attributes:
        folder: the comparison's folder.
        comparison: the comparison.
        finished: each finished run and its position.
    """

    folder: Path
    comparison: Comparison
    finished: Sequence[tuple[Place, Path]]

    @classmethod
    def read(cls, folder: Path) -> Compares:
        """Read the folder of a comparison.

        Raises:
            RunError: it is not the folder of a comparison, or no run is finished yet.
        """
        comparison = read_comparison(folder)
        places = [(place, cell_folder(folder, place)) for place in comparison.places]
        finished = [(place, path) for place, path in places if is_finished(path)]
        if not finished:
            raise RunError(f"{folder}: no run of this comparison is finished yet")
        return cls(folder, comparison, finished)

    @property
    def missing(self) -> int:
        """Number of unfinished runs."""
        return len(self.runs) - len(distinct(p for p, _ in self.finished))

    @cached_property
    def runs(self) -> list[Place]:
        """Position of each possible run, once."""
        unsuited = read_unsuited(self.folder)
        return [p for p in distinct(self.comparison.places) if p.place not in unsuited]

    @cached_property
    def results(self) -> list[Result]:
        """Results of the finished runs."""
        return results(self.comparison, self.finished)

    @cached_property
    def pairs(self) -> list[Pairing]:
        """Results of each attack against each defense; empty without several attacks."""
        return pairings(self.comparison, self.folder)

    @cached_property
    def shown(self) -> list[tuple[Place, Run]]:
        """Runs of the first seed, whose victims are shown."""
        seed = self.comparison.seeds[0]
        return [(p, Run.read(path)) for p, path in self.finished if p.seed == seed]


def comparison_page(
    compares: Compares, *, away: bool = False, charts: bool = True, running: bool = False
) -> str:
    """Return the report of a comparison as HTML.

    Args:
        compares: the comparison.
        away: whether the page is written elsewhere, so that links to the runs would be broken.
        charts: whether to draw charts.
        running: whether browsers read the page again by themselves.
    """
    comparison = compares.comparison
    first = compares.shown[0][1] if compares.shown else Run.read(compares.finished[0][1])
    view = view_of(first)
    headline, *said = _advice(compares)
    toml = (compares.folder / COMPARISON).read_text("utf-8")
    records = as_records(compares.results)
    return render(
        "comparison.html",
        seed=f"{toml}{records}",
        title=comparison.title,
        comparison=comparison,
        headline=headline,
        said=said,
        missing=compares.missing,
        refresh_s=REFRESH_S if running else None,
        runs=len(compares.runs),
        start=first.start,
        view=view,
        compared=_compared(compares, view),
        measure=first.summary.measure,
        accuracy_name=first.summary.accuracy_name,
        rows=_rows(compares.results, records),
        table_csv=as_csv([list(records[0]), *(list(r.values()) for r in records)])
        if records
        else None,
        charts=comparison_charts(compares.results) if charts and not compares.pairs else [],
        heat_maps=[] if compares.pairs else heat_maps(compares.results),
        **_matrix(compares.pairs),
        cells=[
            {
                "name": f"{place.label} {place.strength}".strip(),
                "seed": place.seed,
                "href": None if away else quote(f"{CELLS}/{place.place}/{REPORT}"),
            }
            for place in distinct(p for p, _ in compares.finished)
        ],
        sources=_sources(compares),
        command=shown_command(first.start.command),
        toml=toml,
        toml_name=COMPARISON,
        toml_file=as_text_file(toml),
    )


def _matrix(pairs: Sequence[Pairing]) -> dict[str, Any]:
    """Return the template's values for the table of attacks against defenses."""
    if not pairs:
        return {"matrix": None}
    matrix = AttackMatrix.of(pairs)
    return {
        "matrix": matrix,
        "matrix_notes": notes_said(matrix),
        "matrix_tables": [attack_rows(matrix), defense_rows(matrix)],
        "check_table": check_rows(pairs),
        "check_legend": CHECK_LEGEND,
        "check_csv": as_text_file(check_csv(pairs)),
        "matrix_legend": MATRIX_LEGEND,
        "matrix_csv": as_text_file(matrix_csv(pairs)),
    }


@dataclass(frozen=True)
class Cell:
    """One cell of the table.

    Attributes:
        heading: heading of its column.
        text: displayed text.
        value: sort key.
        is_number: whether it is right-aligned.
    """

    heading: str
    text: str
    value: object
    is_number: bool


def _rows(found: Sequence[Result], records: Sequence[dict[str, Value]]) -> list[list[Cell]]:
    if not found:
        return []
    columns = {heading: column for column, heading in headings(found[0].measure).items()}
    rows = []
    for words, record in zip(as_words(found), records, strict=True):
        values = {heading: record[columns[heading]] for heading in words}
        # Numeric strengths are sorted by value: as text, 1e-05 would come after 0.01.
        if record["value"] is not None:
            values["strength"] = record["value"]
        rows.append(
            [
                Cell(h, text, "" if values[h] is None else values[h], columns[h] not in WORDS)
                for h, text in words.items()
            ]
        )
    return rows


def _advice(compares: Compares) -> list[str]:
    """Return the recommendation: a headline, then paragraphs."""
    if compares.pairs:
        said = matrix_advice(compares.pairs, len(compares.comparison.seeds))
    else:
        said = advice(compares.comparison, compares.results)
    first, *rest = said
    headline, colon, evidence = first.partition(": ")
    if not colon:
        return [headline, *rest]
    return [f"{headline}.", evidence[:1].upper() + evidence[1:], *rest]


def _compared(compares: Compares, view: View) -> list[Compared]:
    """Return the same victim under every defense, at each stage."""
    accuracy = {r.order: r.mean_accuracy for r in compares.results}
    labels = list(dict.fromkeys(place.attack or place.label for place, _ in compares.shown))
    found = []
    for stage, server_round in compares.comparison.stages.items():
        for label in labels:
            steps = [
                Step(
                    place.defense if place.attack else place.strength,
                    _accuracy(accuracy.get(place.order)),
                    run,
                )
                for place, run in compares.shown
                if (place.attack or place.label) == label
            ]
            one = view.compared(label, stage, server_round, steps)
            found += [] if one is None else [one]
    return found


def _accuracy(value: float | None) -> str:
    return "" if value is None else f"accuracy {value:.1%}"


def _sources(compares: Compares) -> list[Source]:
    found = {(s.kind, s.name): s for _, run in compares.shown for s in run.start.sources}
    return list(found.values())
