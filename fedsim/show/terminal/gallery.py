"""Gallery of a finished run in the terminal: private examples and reconstructions."""

from __future__ import annotations

from rich.console import RenderableType

from fedsim.log.run import Run
from fedsim.log.schema import LeakageRecord, ReconstructionRecord
from fedsim.show.view import Chosen, view_of


def gallery(run: Run, most: int = 1) -> RenderableType | None:
    """Return victims of each group and attacker from the last round that has some.

    Args:
        run: the log of a run.
        most: maximum number of victims in all, but at least one of each group and attacker.

    Returns:
        The private examples and their reconstructions; None if nothing was attacked.
    """
    found = {r.victim: r for r in run.of_kind(ReconstructionRecord)}
    chosen: dict[tuple[str, str], list[LeakageRecord]] = {}
    for record in run.of_kind(LeakageRecord):
        if record.score.example or record.victim not in found:
            continue
        known = chosen.setdefault((record.who, record.attacker), [])
        if known and record.round > known[0].round:
            known.clear()
        if not known or record.round == known[0].round:
            known.append(record)
    each = max(1, most // max(1, len(chosen)))
    shown = [record for known in chosen.values() for record in known[:each]]
    examples = [Chosen(record, found[record.victim]) for record in shown]
    return view_of(run).gallery(run, examples) if examples else None
