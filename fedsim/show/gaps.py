"""Gaps of an audit: what should have been attacked, or compared, and was not."""

from __future__ import annotations

from collections import Counter

from fedsim.log.run import Run, legible
from fedsim.log.schema import (
    NAIVE,
    LeakageRecord,
    ReconstructionRecord,
    SumRecord,
    UploadRecord,
)


def gaps(run: Run) -> list[str]:
    """Return the gaps of a run as sentences.

    They are rounds without an attack, uploads and sums that could not be read, clients fewer than
    were asked for, and attacks whose result was not compared. Nothing can be said of their leakage.

    Args:
        run: a run whose scenario lists its attacked rounds; of others only attacks that were not
            compared are known.

    Raises:
        RunError: its scenario does not have the form of this version of fedsim.
    """
    with legible(run.folder):
        adversary = run.scenario.get("adversary", {})
        rounds, most = [*(adversary.get("rounds") or [])], adversary.get("per_round")
    found = [r for r in run.of_kind(ReconstructionRecord) if not r.is_control]
    attacked = Counter(r.round for r in found if r.attacker == NAIVE)
    uploads, sums = run.of_kind(UploadRecord), run.of_kind(SumRecord)
    said = []
    for number in sorted(set(rounds)):
        own = [u for u in uploads if u.round == number]
        bad = [u for u in own if u.problem]
        hidden = [s for s in sums if s.round == number]
        said += [f"round {number}, client {u.partition}: {u.problem}" for u in bad]
        said += [f"round {number}: no sum: {s.problem}" for s in hidden if s.problem]
        known = {u.partition for u in bad}
        for total in hidden:
            left = sorted(total.dropped.items())
            said += [f"round {number}, client {c}: {why}" for c, why in left if int(c) not in known]
        wanted = 1 if hidden else len(own) - len(bad)
        wanted = wanted if most is None else min(wanted, most)
        if attacked[number] < max(1, wanted):
            said.append(
                f"round {number}: {attacked[number]} of {max(1, wanted)} uploads were attacked"
            )
    compared = {r.victim for r in run.of_kind(LeakageRecord)}
    said += [f"{r.victim}: not compared" for r in found if r.victim not in compared]
    return said
