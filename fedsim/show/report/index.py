"""Index over many runs and comparisons."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from fedsim.core.errors import FedsimError, RunError
from fedsim.log.comparison import COMPARISON, read_comparison
from fedsim.log.folders import RECORDS
from fedsim.log.run import Run, legible
from fedsim.log.schema import Meaning
from fedsim.log.summary import WORST_FIRST
from fedsim.show.report.comparison import Compares, write_comparison
from fedsim.show.report.page import REPORT, render, write_page
from fedsim.show.report.run import Conclusion, write_run
from fedsim.show.report.victims.cards import attacked
from fedsim.show.view import view_of

INDEX = "index.html"


@dataclass(frozen=True)
class Entry:
    """One run or comparison in the index.

    Attributes:
        title: its title.
        place: its folder, relative to the index.
        href: address of its report, relative to the index, or None.
        kind: run or comparison.
        said: the verdict in a sentence.
        started: its start, as in the run log; empty if unknown.
        status: finished, interrupted, failed, or not ended.
        counts: number of examples with each meaning.
        thumbnail: the example that leaked most and its reconstruction, in the form of its
            template, or None.
        template: template of the thumbnail.
    """

    title: str
    place: str
    href: str | None
    kind: str
    said: str
    started: str
    status: str
    counts: dict[Meaning, int]
    thumbnail: object | None = None
    template: str = ""


def write_index(folder: Path, out: Path | None = None) -> Path:
    """Write an index over a folder's runs and comparisons, and the reports that are missing.

    Args:
        folder: searched recursively, but not inside runs and comparisons.
        out: the file to write; by default ``index.html`` in the folder.

    Raises:
        RunError: there is no run in the folder, or the file cannot be written.
    """
    target = out or folder / INDEX
    entries = [_entry(place, folder, linked=out is None) for place in runs_in(folder)]
    if not entries:
        raise RunError(
            f"{folder}: there is no run in this folder: expected a run folder that `fedsim run` "
            "printed, a comparison's folder, or a folder that contains several of them"
        )
    entries.sort(key=lambda e: e.started, reverse=True)
    html = render(
        "index.html", seed=repr(entries), title=f"Runs in {folder.resolve().name}", entries=entries
    )
    return write_page(target, html)


def runs_in(folder: Path) -> Iterator[Path]:
    """Yield the run folders and comparisons in a folder, at any depth; links are not followed."""
    try:
        inner = sorted(p for p in folder.iterdir() if p.is_dir() and not p.is_symlink())
    except OSError:  # may not be looked into
        return
    for place in inner:
        if (place / RECORDS).is_file() or (place / COMPARISON).is_file():
            yield place
        else:
            yield from runs_in(place)


def _entry(place: Path, folder: Path, *, linked: bool) -> Entry:
    name = place.relative_to(folder).as_posix()
    is_comparison = (place / COMPARISON).is_file()
    try:
        with legible(place):
            return (_comparison if is_comparison else _run)(place, name, linked)
    except FedsimError as error:
        kind = "comparison" if is_comparison else "run"
        return Entry(place.name, name, None, kind, str(error), "", "not readable", {})


def _run(place: Path, name: str, linked: bool) -> Entry:
    run = Run.read(place)
    if linked and _is_stale(place / REPORT, place / RECORDS):
        write_run(place)
    found = [
        min((leakage.score.meaning for leakage, _ in one.pairs), key=WORST_FIRST.index)
        for one in attacked(run)
        if not one.first.is_control
    ]
    counts = {m: found.count(m) for m in WORST_FIRST if m in found}
    return Entry(
        run.title,
        name,
        quote(f"{name}/{REPORT}") if linked else None,
        "run",
        Conclusion.headline_of(counts, run.summary, view_of(run).noun),
        run.start.started,
        run.summary.status or "not ended",
        counts,
        _thumbnail(run),
        view_of(run).thumbnail_template,
    )


def _comparison(place: Path, name: str, linked: bool) -> Entry:
    title = read_comparison(place).title
    try:
        compares = Compares.read(place)
    except RunError as error:
        return Entry(title, name, None, "comparison", str(error), "", "not ended", {})
    newest = max((path / RECORDS for _, path in compares.finished), key=_written)
    if linked and _is_stale(place / REPORT, newest):
        write_comparison(place)
    first = Run.read(compares.finished[0][1])
    return Entry(
        title,
        name,
        quote(f"{name}/{REPORT}") if linked else None,
        "comparison",
        f"{len(compares.runs) - compares.missing} of {len(compares.runs)} runs are finished.",
        first.start.started,
        "not ended" if compares.missing else "finished",
        {},
        _thumbnail(first),
        view_of(first).thumbnail_template,
    )


def _is_stale(report: Path, records: Path) -> bool:
    return not report.is_file() or _written(report) < _written(records)


def _thumbnail(run: Run) -> object | None:
    """Return the example that leaked most, with its reconstruction."""
    measure = run.start.measure
    scored = [
        (figure, leakage, found)
        for one in attacked(run)
        for leakage, found in one.pairs
        if not leakage.is_control and (figure := leakage.score.figure(measure)) is not None
    ]
    if not scored:
        return None
    _, leakage, found = max(
        scored, key=lambda each: (each[1].score.meaning is Meaning.LEAKED, each[0])
    )
    return view_of(run).thumbnail(run, leakage, found)


def _written(path: Path) -> float:
    return path.stat().st_mtime
