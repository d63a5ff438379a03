"""Cards of private texts with their reconstructions as they emerged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from fedsim.log.run import Run
from fedsim.log.schema import EmergenceRecord, LeakageRecord, ReconstructionRecord
from fedsim.modalities.texts.lines import Token, found_line, packed, private_line
from fedsim.modalities.texts.measure import TOKENS
from fedsim.show.report.victims.cards import Attacked, Attempt, Card, attacked, card, finite
from fedsim.show.report.victims.compared import (
    PRIVATE,
    Compared,
    Film,
    Shot,
    Shots,
    Step,
    compare,
    missing,
    said,
)

Line = Sequence[Token]
Moments = Mapping[tuple[str, int], Sequence[tuple[int, Sequence[str]]]]
"""Snapshots of each victim's texts: evaluations so far, and the tokens at that time."""


def text_cards(run: Run) -> list[Card]:
    """Return a card for each attacked text.

    Raises:
        RunError: a record names a path outside the run folder, or a file without tensors.
    """
    moments = {(r.victim, r.example): r.moments for r in run.of_kind(EmergenceRecord)}
    defenses = {row.group: row.defense for row in run.summary.rows}
    return [_card(run, victim, defenses, moments) for victim in attacked(run)]


def compare_texts(
    label: str, stage: str, server_round: int, steps: Sequence[Step]
) -> Compared | None:
    """Return the same text under a defense at all strengths, or None."""
    return compare(label, stage, server_round, steps, _shots, _film)


@dataclass(frozen=True)
class TextAttempt(Attempt):
    """Reconstruction of one private text by one attacker.

    Attributes:
        final: the reconstruction, or None.
        film: its lines at each displayed snapshot, packed.
    """

    final: Line | None = None
    film: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class TextFilm(Film):
    """Texts at each strength.

    Attributes:
        final: text at the last strength.
        film: all texts, packed.
        lines: all texts.
    """

    final: Line
    film: Mapping[str, object]
    lines: Sequence[Line]


def _card(run: Run, victim: Attacked, defenses: Mapping[str, str], moments: Moments) -> Card:
    original = victim.first.score.original or ()
    attempts = [_attempt(run, leakage, found, moments) for leakage, found in victim.pairs]
    return card(victim, defenses, private_line(original), attempts)


def _attempt(
    run: Run, leakage: LeakageRecord, found: ReconstructionRecord, moments: Moments
) -> TextAttempt:
    score, original = leakage.score, leakage.score.original or ()
    if score.found is None:
        return TextAttempt(leakage, found, TOKENS)
    final = found_line(score.found, original)
    own = moments.get((leakage.victim, score.example), [])
    if len(own) < 2:
        return TextAttempt(leakage, found, TOKENS, final=final)
    lines = [found_line(tokens, original) for _, tokens in own]
    at = [evaluation for evaluation, _ in own]
    objectives = _objectives(run, found, len(own))
    if lines[-1] != final:  # the last displayed snapshot is the scored one
        last = max(at[-1] + 1, found.evaluations)
        at, lines, objectives = [*at, last], [*lines, final], [*objectives, found.objective]
    return TextAttempt(leakage, found, TOKENS, at, objectives, final, packed(lines))


def _objectives(run: Run, found: ReconstructionRecord, count: int) -> list[float | None]:
    arrays = run.arrays(found.tensors)
    if arrays is None or len(arrays.get("objectives", ())) != count:
        return [None] * count
    return [finite(float(value)) for value in arrays["objectives"]]


def _shots(run: Run, victim: Attacked) -> Shots[Line]:
    original = victim.first.score.original or ()
    shots: dict[str, Shot[Line]] = {PRIVATE: Shot(private_line(original))}
    for leakage, _ in victim.pairs:
        score = leakage.score
        found = [] if score.found is None else found_line(score.found, original)
        shots[leakage.attacker] = Shot(found, said(score, TOKENS))
    return shots


def _film(attacker: str, shots: Sequence[Shots[Line]]) -> TextFilm:
    nothing: Shot[Line] = Shot([], missing("no attack at this strength"))
    frames = [shot.get(attacker, nothing) for shot in shots]
    lines = [f.shown for f in frames]
    return TextFilm(
        attacker,
        [f.said for f in frames],
        lines[-1],
        packed(lines) if len(lines) > 1 else {},
        lines,
    )
