"""The folder of a comparison, for writers and readers; without torch."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from fedsim.core.errors import RunError
from fedsim.core.text import harmless
from fedsim.core.toml import parse_toml
from fedsim.log.reader import of_kind, read_inside, read_records
from fedsim.log.schema import RunEnded
from fedsim.scenario.comparison import Comparison
from fedsim.scenario.grid import Place

COMPARISON = "comparison.toml"
CELLS = "cells"


def read_comparison(folder: Path) -> Comparison:
    """Return the comparison of a folder; its scenarios are not checked.

    Raises:
        RunError: the folder does not hold a comparison.
    """
    path = folder / COMPARISON
    try:
        text = read_inside(folder, COMPARISON).decode("utf-8")
        return Comparison.model_validate(harmless(parse_toml(text)))
    except (RunError, OSError, ValueError, RecursionError, ValidationError) as error:
        raise RunError(f"{path}: not a comparison: {error}") from None


def cell_folder(folder: Path, cell: Place) -> Path:
    """Return the run folder of a cell."""
    return folder / CELLS / cell.place


def is_finished(folder: Path) -> bool:
    """Return whether a run was finished."""
    try:
        return any(r.status == "finished" for r in of_kind(read_records(folder), RunEnded))
    except RunError:
        return False
