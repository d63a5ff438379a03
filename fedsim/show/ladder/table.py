"""Tables of a ladder and of its map for the terminal."""

from __future__ import annotations

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from fedsim.log.ladder import Cell, LadderRecord
from fedsim.show.ladder import words
from fedsim.show.terminal.table import STYLES


def ladder_table(ladder: LadderRecord) -> Table:
    """Return a row for each rung."""
    table = Table(
        title=words.headline(ladder),
        title_justify="left",
        box=SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
    table.add_column("", justify="right")
    table.add_column("what changed", min_width=20, overflow="fold")
    table.add_column("verdict", no_wrap=True)
    for heading in (f"{ladder.measure} / blind", "misfit", "of truth", "control"):
        table.add_column(heading, justify="right", no_wrap=True)
    for number, rung in enumerate(ladder.rungs, start=1):
        found = rung.found
        said = words.verdict(found) if rung.not_run is None else f"not run: {rung.not_run}"
        table.add_row(
            str(number),
            rung.changed,
            Text(said, style="dim" if found is None else STYLES[found.worst]),
            words.score(ladder, found),
            words.misfit(None if found is None else found.objective),
            words.misfit(None if found is None else found.truth),
            words.control(found),
        )
    return table


def map_table(ladder: LadderRecord) -> Table | None:
    """Return the map: a row for each batch size, a column for each number of local steps."""
    if not ladder.cells:
        return None
    by_place = {(c.batch_size, c.local_steps): c for c in ladder.cells}
    sizes, steps = (sorted(set(axis)) for axis in zip(*by_place, strict=True))
    table = Table(
        title="Batch size (rows) and local steps (columns) in the setting in use",
        title_justify="left",
        box=SIMPLE_HEAD,
        pad_edge=False,
    )
    table.add_column("", justify="right")
    for number in steps:
        table.add_column(str(number), justify="right", no_wrap=True)
    for size in sizes:
        table.add_row(str(size), *(_cell(by_place.get((size, number))) for number in steps))
    return table


def _cell(cell: Cell | None) -> Text:
    if cell is None or cell.found is None:
        return Text(words.NOT_RUN, style="dim")
    found = cell.found
    best = "" if found.best is None else f" {found.best:.0f}"
    return Text(f"{found.leaked}/{found.examples}{best}", style=STYLES[found.worst])
