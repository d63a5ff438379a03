"""The causes of a run's failures, ranked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fedsim.log.run import Run
from fedsim.show.explain.cases import Case, cases
from fedsim.show.explain.causes import CAUSES
from fedsim.show.explain.finding import Finding

UNKNOWN = Finding(
    "none of the causes that are known",
    0.0,
    "The log shows no reason.",
    "Try attack = 'best', more evaluations and trials, another seed; compare with the objective "
    "curves in the report.",
)


@dataclass(frozen=True)
class Explanation:
    """Why one attacker failed against one group of clients.

    Attributes:
        case: the facts.
        findings: the causes, the likeliest first; empty if all of it leaked.
    """

    case: Case
    findings: list[Finding]


def explain(folder: Path | str) -> list[Explanation]:
    """Say why the attacks of a run failed.

    Reads the log of the run alone, in whatever state the run is.

    Args:
        folder: of the run.

    Returns:
        One for each group of clients and attacker, the positive control last.

    Raises:
        RunError: it is no run folder, or its log cannot be read.
    """
    found = cases(Run.read(Path(folder)))
    control = next((case for case in found if case.is_control), None)
    return [Explanation(case, _findings(case, control)) for case in found]


def _findings(case: Case, control: Case | None) -> list[Finding]:
    if case.all_leaked:
        return []
    found = [f for cause in CAUSES if (f := cause(case, control)) is not None]
    return sorted(found, key=lambda f: -f.strength) or [UNKNOWN]
