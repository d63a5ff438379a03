"""Causes of failure of an attack by a malicious server."""

from __future__ import annotations

from fedsim.log.schema import Meaning, UploadRecord
from fedsim.show.explain.cases import Case
from fedsim.show.explain.finding import Finding

READ_OUTS = ("dense-rows", "dense-bins", "fished", "token-bins")
"""Attacks that read what a changed model isolates, and nothing else."""


def reads_a_changed_model(case: Case) -> bool:
    """Whether a malicious server read its results from what its changed model isolates."""
    found = [r for r in case.reconstructions if r.error is None]
    return case.isolating is not None and bool(found) and case.attack.get("name") in READ_OUTS


def not_isolated(case: Case, control: Case | None) -> Finding | None:
    """Find examples that a changed model did not isolate."""
    if not reads_a_changed_model(case):
        return None
    left = sum(r.score.meaning is not Meaning.LEAKED for r in case.leakage)
    defended = f", or drowned in {', '.join(case.defenses)}" if case.defenses else ""
    evidence = (
        f"'{case.isolating}' gives away the {case.things} that it isolates in a batch, by "
        f"computation and not by a search. {left} of {len(case.leakage)} were not isolated."
    )
    remedy = (
        "A smaller batch, or a change with more rows or bins, isolates more; another "
        "adversary.attack can search for the others."
    )
    if case.attack.get("name") == "fished":
        evidence = (
            f"'{case.isolating}' goes for one class, or one example of it, and no other. {left} of "
            f"{len(case.leakage)} {case.things} were not what it went for, or not alone in their "
            "batch."
        )
        remedy = (
            "Another label of adversary.malicious goes for another class; by = 'feature' for one "
            "example where a batch has several of it."
        )
    return Finding(f"the changed model did not isolate them{defended}", 0.97, evidence, remedy)


def refused_the_model(case: Case, control: Case | None) -> Finding | None:
    """Find clients that refused a received model, so that there is no upload to attack."""
    refused = [u for u in case.uploads if isinstance(u, UploadRecord) and u.refused]
    if not refused or not any(r.error for r in case.reconstructions):
        return None
    checks = ", ".join(dict.fromkeys(name for u in refused for name in u.noticed))
    return Finding(
        "a check refused the model",
        1.0,
        f"{len(refused)} of {len(case.uploads)} requests were refused by {checks}; the first "
        f"message: {refused[0].problem}",
        "Nothing was uploaded, so nothing could leak in these rounds. A server that knows the "
        "check can try to pass it: tuned = true in adversary.malicious, where there is one.",
    )
