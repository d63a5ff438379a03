"""Page of a ladder."""

from __future__ import annotations

from pathlib import Path

from fedsim.log.ladder import LadderRecord, Rung, read_ladder
from fedsim.show.ladder import words
from fedsim.show.report.charts import Chart
from fedsim.show.report.page import REPORT, as_csv, render, write_page

SCALE = [[0.0, "#0072B2"], [0.5, "#E69F00"], [1.0, "#D55E00"]]
"""Blue where nothing leaked, red where all did: distinguishable for colour-blind people."""

COLUMNS = ("what changed", "verdict", "score / blind", "misfit", "misfit of truth", "control", "s")


def write_ladder(folder: Path) -> Path:
    """Write the page of a ladder's folder, and return its path.

    Raises:
        RunError: there is no ladder in it, or the page cannot be written.
    """
    return write_page(folder / REPORT, ladder_page(read_ladder(folder)))


def ladder_page(ladder: LadderRecord) -> str:
    """Return the page of a ladder as HTML, self-contained."""
    rows = [_row(ladder, rung) for rung in ladder.rungs]
    chart = _map(ladder)
    keys = list(ladder.rungs[0].setting) if ladder.rungs else []
    return render(
        "ladder.html",
        seed=ladder.model_dump_json(),
        title=f"Ladder of {ladder.title}",
        ladder=ladder,
        headline=words.headline(ladder),
        said=words.remarks(ladder),
        columns=COLUMNS,
        rows=rows,
        keys=keys,
        charts=[] if chart is None else [chart],
        table_csv=as_csv([["rung", *COLUMNS], *([i + 1, *row] for i, row in enumerate(rows))]),
    )


def _row(ladder: LadderRecord, rung: Rung) -> list[str]:
    found = rung.found
    return [
        rung.changed,
        words.verdict(found) if rung.not_run is None else f"not run: {rung.not_run}",
        words.score(ladder, found),
        words.misfit(None if found is None else found.objective),
        words.misfit(None if found is None else found.truth),
        words.control(found),
        "–" if found is None else f"{found.seconds:.1f}",
    ]


def _map(ladder: LadderRecord) -> Chart | None:
    """Return the heat map of batch size and local steps; cells that were not run are empty."""
    if not ladder.cells:
        return None
    by_place = {(c.batch_size, c.local_steps): c.found for c in ladder.cells}
    sizes, steps = (sorted(set(axis)) for axis in zip(*by_place, strict=True))
    grid = [[by_place.get((size, number)) for number in steps] for size in sizes]
    data = {
        "type": "heatmap",
        "x": [str(number) for number in steps],
        "y": [str(size) for size in sizes],
        "z": [[None if f is None else words.openness(f) for f in row] for row in grid],
        "text": [
            [words.NOT_RUN if f is None else f"{f.leaked} of {f.examples}" for f in row]
            for row in grid
        ],
        # The scores do not fit the cells of a narrow page.
        "customdata": [
            ["" if f is None else words.score(ladder, f) + ladder.unit for f in row] for row in grid
        ],
        "texttemplate": "%{text}",
        "hovertemplate": "batches of %{y}, %{x} local steps<br>%{text}<br>%{customdata}"
        "<extra></extra>",
        "colorscale": SCALE,
        "zmin": 0,
        "zmax": 1,
        "xgap": 2,
        "ygap": 2,
        "colorbar": {"tickformat": ".0%"},
    }
    return Chart(
        "map",
        "Batch size and local steps",
        "Examples that leaked, in part or fully, in the setting in use; the best score beside that "
        "of a blind guess when pointed at. Cells that were not run are white. No cell means "
        "protection: nothing is defended.",
        [data],
        {
            "xaxis": {"title": {"text": "local steps"}, "type": "category"},
            "yaxis": {"title": {"text": "batch size"}, "type": "category"},
        },
        height=160 + 60 * len(sizes),
    )
