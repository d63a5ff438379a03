"""Gallery of a finished run in the terminal: private examples and reconstructions."""

from __future__ import annotations

from rich.console import RenderableType

from fedsim.log.run import Run
from fedsim.log.schema import LeakageRecord, ReconstructionRecord
from fedsim.show.view import Chosen, view_of


def gallery(run: Run) -> RenderableType | None:
    """Return one victim of each group and attacker from the last round that has one.

    Args:
        run: the log of a run.

    Returns:
        The private examples and their reconstructions; None if nothing was attacked.
    """
    found = {r.victim: r for r in run.of_kind(ReconstructionRecord)}
    chosen: dict[tuple[str, str], LeakageRecord] = {}
    for record in run.of_kind(LeakageRecord):
        key = record.who, record.attacker
        first = record.score.example == 0 and record.victim in found
        if first and (key not in chosen or record.round > chosen[key].round):
            chosen[key] = record
    examples = [Chosen(record, found[record.victim]) for record in chosen.values()]
    return view_of(run).gallery(run, examples) if examples else None
