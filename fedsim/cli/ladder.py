"""The ladder of ``fedsim audit --ladder``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

if TYPE_CHECKING:
    from fedsim.engine.audit.request import Request


def climb(request: Request, before: Path | None, folder: Path, limit_s: float) -> None:
    """Climb a ladder as the command line asks for it.

    Args:
        request: the options of the command.
        before: file of the weights that were sent; None for those of a new model.
        folder: the ladder's folder, new or empty.
        limit_s: time limit of the rungs, and again of the map, in seconds.

    Raises:
        FedsimError: a file or an option is invalid.
    """
    from fedsim.api.ladders import climb_request  # noqa: PLC0415

    climb_request(request, before, folder, limit_s)


def show_ladder(folder: Path, *, as_json: bool) -> None:
    """Print the ladder of a folder.

    Args:
        folder: the ladder's folder.
        as_json: whether to print it as one line of JSON.

    Raises:
        RunError: there is no ladder in it.
    """
    from fedsim.log.ladder import read_ladder  # noqa: PLC0415
    from fedsim.show.ladder import words  # noqa: PLC0415
    from fedsim.show.ladder.table import ladder_table, map_table  # noqa: PLC0415

    ladder = read_ladder(folder)
    if as_json:
        said = {"headline": words.headline(ladder), "remarks": words.remarks(ladder)}
        record = ladder.model_dump(mode="json")
        sys.stdout.write(json.dumps({**said, **record, "folder": str(folder)}) + "\n")
        return
    console = Console()
    console.print(ladder_table(ladder))
    shown = map_table(ladder)
    if shown is not None:
        console.print(shown)
    for line in words.remarks(ladder):
        console.print(line, markup=False)
    console.print(f"Ladder: {folder / 'report.html'}", markup=False, soft_wrap=True)
