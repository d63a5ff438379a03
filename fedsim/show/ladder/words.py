"""Sentences on a ladder."""

from __future__ import annotations

from fedsim.log.ladder import Found, LadderRecord, Rung
from fedsim.log.score import Meaning

NOT_RUN = "not run"
NOT_PROTECTION = (
    "Nothing is defended in a ladder, so nothing here is protection: where nothing leaked, this "
    "attack failed, and a better one may not."
)
EARLY = ("exhausted", "stopped")
"""Ends of attacks whose evaluations or time ran out."""


def headline(ladder: LadderRecord) -> str:
    """Return the first rung at which nothing leaked, in one sentence."""
    run = [r for r in ladder.rungs if r.found is not None]
    if not run:
        return f"{ladder.title}: no rung was run."
    closes = ladder.closes
    if closes is None:
        if len(run) < len(ladder.rungs):
            told = f"leaked on each rung that was run, {len(run)} of {len(ladder.rungs)}."
            missed = ladder.rungs[-1].found is None
            return f"{ladder.title} {told}" + (" The setting in use was not." if missed else "")
        return f"{ladder.title} leaked on every rung, in the setting in use too."
    rung = ladder.rungs[closes]
    found = rung.found
    assert found is not None  # noqa: S101  (`closes` is a rung that was run)
    if closes == 0:
        return (
            f"{ladder.title}: the attack failed on the easiest rung already. That says nothing "
            "about the setting in use."
        )
    return (
        f"{ladder.title} leaks up to rung {closes}; the attack failed at rung {closes + 1}: "
        f"{rung.changed}. That is not protection."
    )


def remarks(ladder: LadderRecord) -> list[str]:
    """Return remarks for a reader, the most important first."""
    said = []
    closes, narrows = ladder.closes, ladder.narrows
    if narrows is not None and narrows != closes:
        said.append(
            f"From rung {narrows + 1} ({ladder.rungs[narrows].changed}) examples leak in part "
            "only, or the search falls short."
        )
        found = ladder.rungs[narrows].found
        said += advice(found) if found is not None and closes is None else []
    if closes is not None:
        later = [
            str(i + 1)
            for i, rung in enumerate(ladder.rungs)
            if i > closes and rung.found is not None and rung.found.leaked
        ]
        if later:
            numbers = f"rung {later[0]}" if len(later) == 1 else f"rungs {', '.join(later)}"
            said.append(f"It leaks again at {numbers}: one rung alone does not mark a boundary.")
        said.append(NOT_PROTECTION)
        rung = ladder.rungs[closes]
        if rung.found is not None:
            said += advice(rung.found)
    return [*said, *ladder.notes]


def advice(found: Found) -> list[str]:
    """Return advice on the next attack after one that failed."""
    if found.error is not None:
        return [f"The attack gave no reconstruction: {found.error}"]
    said = []
    if found.explained is False:
        said.append(
            "The examples themselves do not fit the attacker's equations there (dropout draws, or "
            "an optimizer that no attack follows): an attack with the right equations comes first."
        )
    if found.status in EARLY:
        said.append(
            f"The search ended after {found.evaluations} evaluations, when they or the time ran "
            "out: give it more of both."
        )
    elif found.truth is not None and found.objective is not None and found.truth < found.objective:
        said.append(
            "The examples fit the upload better than what the search found: try more random "
            "starts, or an attack with priors (inverting-gradients, gradinversion)."
        )
    if found.control is False:
        said.append(
            "The positive control, one step of a batch of this size, was not fully reconstructed "
            "either: the cause is batch or model, not the local steps."
        )
    elif found.control:
        said.append(
            "The positive control, one step, was reconstructed: what remains is several steps, "
            "their optimizer or the upload, for which an attack that unrolls them is needed."
        )
    return said


def verdict(found: Found | None) -> str:
    """Return the verdict of a setting in a word or two; never *protected*."""
    if found is None:
        return NOT_RUN
    if found.examples > 1 and found.leaked:
        return f"{found.worst} ({found.leaked} of {found.examples})"
    return found.worst.value


def score(ladder: LadderRecord, found: Found | None) -> str:
    """Return the best score of a setting beside that of a blind guess."""
    if found is None or found.best is None:
        return "–"
    blind = "" if found.blind is None else f" / {found.blind:.1f}"
    return f"{found.best:.1f}{blind}"


def misfit(value: float | None) -> str:
    """Return a relative objective."""
    return "–" if value is None else f"{value:.1g}"


def control(found: Found | None) -> str:
    """Return the outcome of the positive control in a word."""
    if found is None or found.control is None:
        return "–"
    return "found" if found.control else "failed"


def is_closed(rung: Rung) -> bool:
    """Return whether a rung was run and nothing leaked there."""
    return rung.found is not None and not rung.found.leaked


SHARES = {Meaning.LEAKED: 1.0, Meaning.PARTLY: 0.5}


def openness(found: Found) -> float:
    """Return the leakage of a setting: 1 if every example leaked, 0 if none did."""
    total = sum(SHARES.get(meaning, 0.0) * n for meaning, n in found.meanings.items())
    return total / max(1, found.examples)
