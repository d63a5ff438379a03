"""Comparisons in notebooks and scripts."""

from __future__ import annotations

import html
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from fedsim.api.display import Figure, Figures, Table
from fedsim.api.overrides import settings
from fedsim.log.comparison import cell_folder, is_finished, read_comparison
from fedsim.log.folders import new_folder
from fedsim.log.results import Result, results
from fedsim.scenario.comparison import Comparison, comparison_text
from fedsim.show.comparison.tables import as_records

logger = logging.getLogger(__name__)


@dataclass(frozen=True, repr=False)
class Compared:
    """A finished comparison.

    Attributes:
        folder: the folder with its files.
    """

    folder: Path

    @cached_property
    def comparison(self) -> Comparison:
        """Plan of the comparison."""
        return read_comparison(self.folder)

    @cached_property
    def results(self) -> list[Result]:
        """Results of each defense, strength, stage and attacker."""
        places = [(p, cell_folder(self.folder, p)) for p in self.comparison.places]
        return results(self.comparison, [(p, f) for p, f in places if is_finished(f)])

    @property
    def advice(self) -> str:
        """Recommendation in plain English, with its evidence and its limits (Markdown)."""
        return (self.folder / "recommendation.md").read_text("utf-8")

    def write_report(self, out: Path | str | None = None) -> Path:
        """Write the report, a file to open in a browser, and return its path.

        Args:
            out: the file; ``report.html`` in the comparison's folder if None.
        """
        from fedsim.show.report.write import write_report  # noqa: PLC0415

        return write_report(self.folder, None if out is None else Path(out))

    def table(self) -> Table:
        """Return a row for each defense, strength, stage and attacker, as in ``table.csv``."""
        return Table(as_records(self.results))

    def figures(self) -> Figures:
        """Return heat maps of sweeps, the frontier, and leakage against strength."""
        kinds = ("heat", "frontier", "strengths")
        paths = [p for kind in kinds for p in self.folder.glob(f"{kind}-*.png")]
        return Figures([Figure(p, f"{self.comparison.title}: {p.stem}") for p in sorted(paths)])

    def __repr__(self) -> str:
        return f"{self.comparison.title}\n{self.table()}\n{self.folder}"

    def _repr_html_(self) -> str:
        title = html.escape(self.comparison.title)
        return f"<p><strong>{title}</strong></p>{self.table()._repr_html_()}"


def compare(
    comparison: str | Path | Mapping[str, Any] | Comparison,
    /,
    *,
    out: Path | str | None = None,
    jobs: int = 1,
    **overrides: Any,
) -> Compared:
    """Run a comparison, or the missing runs of one that was stopped.

    Args:
        comparison: a bundled comparison's name, the path of a TOML file, a mapping with the tables
            of such a file, or a comparison.
        out: its folder; a new one in ``runs`` if None. A comparison that was begun there is
            continued.
        jobs: number of runs at once; more than one run on Ray's workers.
        overrides: changes; see `fedsim.run`.

    Returns:
        The comparison, which has a rich display in notebooks.

    Raises:
        ScenarioError: the comparison is invalid; the message names the place.
        RunError: the folder has other contents.
    """
    checked, source = _checked(comparison, overrides)
    folder = new_folder(Path(source).stem) if out is None else Path(out)

    from fedsim.core.environment import prepare  # noqa: PLC0415

    prepare()
    from fedsim.api.watch import conclude_cell  # noqa: PLC0415  (loads torch and Flower)
    from fedsim.engine.comparison import run_cells  # noqa: PLC0415
    from fedsim.show.comparison.next_run import too_few_rounds  # noqa: PLC0415
    from fedsim.show.comparison.write import conclude  # noqa: PLC0415

    warning = too_few_rounds(checked)
    if warning is not None:
        logger.warning("%s", warning)

    run_cells(checked, folder, jobs=jobs, on_done=partial(conclude_cell, folder))
    conclude(checked, folder)
    return Compared(folder)


def open_comparison(folder: Path | str) -> Compared:
    """Return a comparison from its folder.

    Raises:
        RunError: it is not the folder of a comparison.
    """
    found = Compared(Path(folder))
    found.comparison  # noqa: B018  (reads it)
    return found


def _checked(
    comparison: str | Path | Mapping[str, Any] | Comparison, overrides: Mapping[str, Any]
) -> tuple[Comparison, str]:
    """Return the comparison and its name."""
    changes = settings(overrides)
    if isinstance(comparison, Comparison | Mapping):
        return Comparison.from_tables(comparison, "comparison", changes), "comparison"
    text, source = comparison_text(str(comparison))
    return Comparison.from_toml(text, source, changes), source
