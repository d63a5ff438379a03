"""Cause of failure of an attack that reads a changed model."""

from __future__ import annotations

from fedsim.log.schema import Meaning
from fedsim.show.explain.cases import Case
from fedsim.show.explain.finding import Finding

COMPUTED = "computed"
"""Status of an attack that computes its result, without a search."""


def reads_a_changed_model(case: Case) -> bool:
    """Whether a malicious server computed the results from what its changed model isolates."""
    plan = case.scenario.get("adversary") or {}
    found = [r for r in case.reconstructions if r.error is None]
    return bool(plan.get("malicious")) and bool(found) and all(r.status == COMPUTED for r in found)


def not_isolated(case: Case, control: Case | None) -> Finding | None:
    """Find examples that a changed model did not isolate."""
    if not reads_a_changed_model(case):
        return None
    named = case.scenario["adversary"]["malicious"]
    name = named.get("name") if isinstance(named, dict) else named
    left = sum(r.score.meaning is not Meaning.LEAKED for r in case.leakage)
    defended = f", or drowned in {', '.join(case.defenses)}" if case.defenses else ""
    return Finding(
        f"the changed model did not isolate them{defended}",
        0.97,
        f"'{name}' gives away the {case.things} that it isolates in a batch, by computation and "
        f"not by a search. {left} of {len(case.leakage)} were not isolated.",
        "A smaller batch, or a change with more rows or bins, isolates more; another "
        "adversary.attack can search for the others.",
    )
