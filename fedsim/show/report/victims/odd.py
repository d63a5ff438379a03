"""Explanation of reconstructions that are worse than a blind guess."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from fedsim.log.run import Run
from fedsim.log.schema import NAIVE, LeakageRecord, Meaning
from fedsim.show.report.victims.cards import Attacked, Card

_BELOW = 0.9
"""Maximum ratio of a score to that of a blind guess for the reconstruction to be odd."""

_SAID = {
    None: "This run has no positive control, which would tell whether the attack works here.",
    True: "The same attack reconstructed its undefended positive control, so it works here.",
    False: "The attack did not fully reconstruct its undefended positive control either, so the "
    "picture says nothing about the defense.",
}


def odd(run: Run, victim: Attacked) -> Iterator[str]:
    """Yield a remark on each attacker whose reconstruction is worse than a blind guess."""
    yield from remarks(run, (leakage for leakage, _ in victim.pairs))


def explained(run: Run, card: Card) -> Card:
    """Return a card with remarks on reconstructions that are worse than a blind guess."""
    if card.is_control:
        return card
    return replace(card, remarks=list(remarks(run, (a.leakage for a in card.attempts))))


def odd_attackers(run: Run, found: Iterable[LeakageRecord]) -> Sequence[str]:
    """Return the attackers whose reconstructions are worse than a blind guess."""
    measure = run.start.measure
    names = []
    for leakage in found:
        score = leakage.score.figure(measure)
        exposed = leakage.score.meaning in (Meaning.LEAKED, Meaning.PARTLY)
        if score is not None and not exposed and score < _BELOW * leakage.score.blind(measure):
            names.append(leakage.attacker)
    return names


def remarks(run: Run, found: Iterable[LeakageRecord]) -> Iterator[str]:
    """Yield a remark on each attacker whose reconstruction is worse than a blind guess."""
    control = run.summary.control
    works = None if control is None else not run.summary.control_failed
    thing = run.start.measure.thing
    records = list(found)
    for attacker in odd_attackers(run, records):
        if attacker == NAIVE and any(r.attacker != NAIVE for r in records):
            continue  # that he fails is the point of a defense; the others know it
        yield (
            f"The {attacker} attacker's {thing} is further from the private one than a blind "
            f"guess: a search returns what fits the upload best, and noise, clipping or missing "
            f"parts can be fitted better by something flat or strange than by a {thing}. "
            + _SAID[works].replace("picture", thing)
        )
