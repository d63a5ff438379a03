"""Writing of a comparison's current results: tables, pictures and a recommendation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fedsim.core.names import ATTACKERS
from fedsim.log.comparison import cell_folder, is_finished
from fedsim.log.results import Result, results
from fedsim.log.run import Run
from fedsim.log.victims import looks
from fedsim.scenario.comparison import Comparison
from fedsim.scenario.grid import slug
from fedsim.show.comparison.advice import advice
from fedsim.show.comparison.figures import draw_frontier, draw_strengths
from fedsim.show.comparison.tables import as_markdown, write_tables
from fedsim.show.conclude import conclude_run
from fedsim.show.report.comparison import conclude_comparison
from fedsim.show.report.page import REPORT
from fedsim.show.view import view_of


@dataclass(frozen=True)
class Outcome:
    """Results of a comparison.

    Attributes:
        results: results of all finished runs.
        advice: paragraphs of the recommendation.
        files: the written files.
    """

    results: list[Result]
    advice: list[str]
    files: list[Path]


def conclude(comparison: Comparison, folder: Path) -> Outcome:
    """Write the results of the finished runs.

    Args:
        comparison: the comparison.
        folder: the comparison's folder.
    """
    places = [(cell, cell_folder(folder, cell)) for cell in comparison.cells]
    places = [(cell, place) for cell, place in places if is_finished(place)]
    for _, place in places:
        if not (place / REPORT).is_file():
            conclude_run(place)
    found = results(comparison, places)
    if not found:
        return Outcome([], [], [])
    said = advice(comparison, found)
    files = write_tables(found, folder)
    for stage in comparison.stages:
        for kind, draw in (("frontier", draw_frontier), ("strengths", draw_strengths)):
            path = folder / f"{kind}-{slug(stage)}.png"
            draw(found, stage, path)
            files += [path] if path.is_file() else []
        attackers = {r.attacker for r in found if r.stage == stage}
        for attacker in sorted(attackers, key=ATTACKERS.index):
            victim = list(looks(comparison, places, stage, attacker))
            if victim:
                view = view_of(Run.read(victim[0].folder))
                files += view.same_victim(victim, folder / f"victim-{slug(stage)}-{attacker}")
    files.append(_write_recommendation(comparison, found, said, folder))
    files += conclude_comparison(folder)
    return Outcome(found, said, files)


def _write_recommendation(
    comparison: Comparison, found: Sequence[Result], said: Sequence[str], folder: Path
) -> Path:
    path = folder / "recommendation.md"
    missing = len(comparison.cells) - sum(
        is_finished(cell_folder(folder, cell)) for cell in comparison.cells
    )
    parts = [f"# {comparison.title}", *said]
    if missing:
        parts.insert(1, f"{missing} of {len(comparison.cells)} runs are still missing.")
    path.write_text("\n\n".join([*parts, as_markdown(found)]) + "\n", "utf-8")
    return path
