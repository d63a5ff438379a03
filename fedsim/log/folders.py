"""The files of a run folder, and a new folder for a run."""

import itertools
import time
from pathlib import Path

RUNS = Path("runs")
RECORDS = "records.jsonl"
SCENARIO = "scenario.toml"


def new_folder(name: str) -> Path:
    """Return the path of a new folder in ``runs``, named after the time and the scenario."""
    stamp = time.strftime("%Y%m%d-%H%M%S")
    wanted = RUNS / f"{stamp}-{name}"
    copies = (wanted.with_name(f"{wanted.name}-{i}") for i in itertools.count(2))
    return wanted if not wanted.exists() else next(c for c in copies if not c.exists())


def ladder_place(folder: Path, *, alone: bool = False) -> Path:
    """Return the folder of the ladder of an audit: in its run folder, or that one itself.

    Args:
        folder: the folder of the audit.
        alone: whether there is a ladder and nothing else.
    """
    return folder if alone else folder / "ladder"
