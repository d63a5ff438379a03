"""Ranked causes of a run's failed attacks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fedsim.log.run import Run, legible
from fedsim.log.schema import Meaning
from fedsim.show.explain.cases import Case, cases
from fedsim.show.explain.causes import CAUSES
from fedsim.show.explain.finding import Finding
from fedsim.show.explain.isolation import reads_a_changed_model
from fedsim.show.explain.searches import SEARCHES


def unknown(case: Case) -> Finding:
    """Return the finding of a case without any known cause."""
    more = case.more("evaluations", "trials")
    tries = [
        *case.others("the attack {}", ("best",)).rstrip(".").splitlines(),
        *([f"more effort ({more})"] if more else []),
        "another seed",
    ]
    return Finding("no known cause", 0.0, "The log shows no reason.", f"Try {', '.join(tries)}.")


NOT_COMPARED = Finding(
    "the private data are unknown",
    1.0,
    "The run has nothing to compare its reconstructions with, so it does not know whether the "
    "attack failed.",
    "Give the audit its truth: a function of partition and round, or fedsim.AuditMod on the "
    "clients of a simulation.",
)


@dataclass(frozen=True)
class Explanation:
    """Explanation of one attacker's failure against one group of clients.

    Attributes:
        case: the facts.
        findings: the causes, the most likely first; empty if everything leaked.
    """

    case: Case
    findings: list[Finding]


def explain(folder: Path | str) -> list[Explanation]:
    """Explain the failed attacks of a run.

    Only the log is read, so the run may be in any state.

    Args:
        folder: the run folder.

    Returns:
        One explanation for each group of clients and attacker, the positive control last.

    Raises:
        RunError: it is not a run folder, or its log cannot be read.
    """
    with legible(Path(folder)):
        found = cases(Run.read(Path(folder)))
        return [Explanation(case, _findings(case, _control_of(case, found))) for case in found]


def _control_of(case: Case, found: Sequence[Case]) -> Case | None:
    """Return the positive control of a case's attacker, or else the naive attacker's."""
    controls = [each for each in found if each.is_control]
    own = (each for each in controls if each.attacker == case.attacker)
    return next(own, next(iter(controls), None))


def _findings(case: Case, control: Case | None) -> list[Finding]:
    if case.all_leaked:
        return []
    if case.leakage and all(r.score.meaning is Meaning.NOT_COMPARED for r in case.leakage):
        return [NOT_COMPARED]
    causes = [c for c in CAUSES if not (reads_a_changed_model(case) and c in SEARCHES)]
    found = [f for cause in causes if (f := cause(case, control)) is not None]
    return sorted(found, key=lambda f: -f.strength) or [unknown(case)]
