"""Writing of a comparison's current results: tables, pictures and a recommendation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fedsim.core.names import ATTACKERS
from fedsim.log.attack_matrix import Pairing, pairings
from fedsim.log.comparison import cell_folder, is_finished
from fedsim.log.results import Result, results
from fedsim.log.run import Run
from fedsim.log.victims import looks
from fedsim.scenario.comparison import Comparison
from fedsim.scenario.grid import Cell, slug
from fedsim.show.comparison.advice import advice
from fedsim.show.comparison.attack_matrix import matrix_markdown, write_matrix
from fedsim.show.comparison.figures import draw_frontier, draw_heat, draw_strengths
from fedsim.show.comparison.heat import heat_maps
from fedsim.show.comparison.matrix_advice import matrix_advice
from fedsim.show.comparison.singles import single_victims
from fedsim.show.comparison.table_files import write_tables
from fedsim.show.comparison.tables import as_markdown
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
        pairs: results of each attack against each defense; empty without several attacks.
    """

    results: list[Result]
    advice: list[str]
    files: list[Path]
    pairs: list[Pairing] = field(default_factory=list)


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
    pairs = pairings(comparison, folder)
    files = write_tables(found, single_victims(comparison, places), comparison.title, folder)
    if pairs:
        said = matrix_advice(pairs, len(comparison.seeds))
        files += write_matrix(pairs, folder)
    else:
        said = advice(comparison, found)
        files += _draw_heat_maps(found, folder)
        files += _pictures(comparison, places, found, folder)
    files.append(_write_recommendation(comparison, found, pairs, said, folder))
    files += conclude_comparison(folder)
    return Outcome(found, said, files, pairs)


def _pictures(
    comparison: Comparison,
    places: Sequence[tuple[Cell, Path]],
    found: Sequence[Result],
    folder: Path,
) -> list[Path]:
    """Draw the frontier, the strengths and the same victim at each stage; return their paths."""
    files: list[Path] = []
    for stage in comparison.stages:
        for kind, draw in (("frontier", draw_frontier), ("strengths", draw_strengths)):
            files += draw(found, stage, folder / f"{kind}-{slug(stage)}")
        attackers = {r.attacker for r in found if r.stage == stage}
        for attacker in sorted(attackers, key=ATTACKERS.index):
            victim = list(looks(comparison, places, stage, attacker))
            if victim:
                view = view_of(Run.read(victim[0].folder))
                files += view.same_victim(victim, folder / f"victim-{slug(stage)}-{attacker}")
    return files


def _draw_heat_maps(found: Sequence[Result], folder: Path) -> list[Path]:
    """Draw the heat maps of the sweeps; return their paths."""
    files: list[Path] = []
    for maps in heat_maps(found):
        files += draw_heat(maps, folder / f"heat-{maps[0].key}")
    return files


def _write_recommendation(
    comparison: Comparison,
    found: Sequence[Result],
    pairs: Sequence[Pairing],
    said: Sequence[str],
    folder: Path,
) -> Path:
    path = folder / "recommendation.md"
    missing = len(comparison.runs) - sum(
        is_finished(cell_folder(folder, cell)) for cell in comparison.runs
    )
    parts = [f"# {comparison.title}", *said]
    if missing:
        parts.insert(1, f"{missing} of {len(comparison.runs)} runs are still missing.")
    table = matrix_markdown(pairs) if pairs else as_markdown(found)
    path.write_text("\n\n".join([*parts, table]) + "\n", "utf-8")
    return path
