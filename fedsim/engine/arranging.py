"""Runs of a comparison that has changed since it was begun, in the places that they have now."""

from __future__ import annotations

import itertools
from pathlib import Path

from fedsim.log.comparison import CELLS, cell_folder
from fedsim.log.folders import SCENARIO
from fedsim.scenario.comparison import Comparison

ASIDE = "aside"
"""Part of a comparison's folder with runs that the comparison does not have any more."""


def arrange(comparison: Comparison, folder: Path) -> int:
    """Give the runs of a folder the places that they have in a comparison; return their number.

    A run belongs where the scenario is its own. Those that the comparison lacks are kept aside,
    because another edit may bring them back. If it is broken off, every run is in one of the two
    places, and the next call finds it. If no run is one of the comparison, nothing is moved.

    Args:
        comparison: the comparison.
        folder: its folder.

    Raises:
        OSError: the folder cannot be read or written.
    """
    wanted = {cell_folder(folder, c): c.scenario.to_toml() for c in comparison.runs}
    if not set(wanted.values()) & set(_runs(folder).values()):
        return 0
    for place, text in _runs(folder).items():
        if place.parent.name != ASIDE and wanted.get(place) != text:
            place.rename(_free(folder / ASIDE / place.name))
    waiting = {text: place for place, text in _runs(folder).items() if place.parent.name == ASIDE}
    for place, text in wanted.items():
        if not place.exists() and text in waiting:
            waiting.pop(text).rename(place)
    if (folder / ASIDE).is_dir() and not any((folder / ASIDE).iterdir()):
        (folder / ASIDE).rmdir()
    return sum(place.exists() for place in wanted)


def _runs(folder: Path) -> dict[Path, str]:
    """Return the scenario of each run, by the place of the run."""
    places = sorted([*(folder / CELLS).glob("*"), *(folder / ASIDE).glob("*")])
    files = {place: place / SCENARIO for place in places if not place.is_symlink()}
    return {place: file.read_text("utf-8") for place, file in files.items() if file.is_file()}


def _free(wanted: Path) -> Path:
    """Return a path like a wanted one at which there is nothing."""
    wanted.parent.mkdir(exist_ok=True)
    others = (wanted.with_name(f"{wanted.name}-{i}") for i in itertools.count(2))
    return wanted if not wanted.exists() else next(p for p in others if not p.exists())
