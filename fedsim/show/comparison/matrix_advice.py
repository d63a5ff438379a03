"""Conclusions from attacks against defenses in plain English, with their limits."""

from __future__ import annotations

from collections.abc import Sequence

from fedsim.log.attack_matrix import Pairing
from fedsim.log.schema import Meaning
from fedsim.show.comparison.advice import WEAK_EPSILON
from fedsim.show.comparison.attack_matrix import AttackMatrix, noticed_by
from fedsim.show.privacy import upper

EXPOSED = (Meaning.LEAKED, Meaning.PARTLY)


def matrix_advice(found: Sequence[Pairing], seeds: int) -> list[str]:
    """Return paragraphs: what got through, who noticed, false alarms, and limits.

    Args:
        found: each attack against each defense.
        seeds: number of seeds.
    """
    matrix = AttackMatrix.of(found)
    said = [_through(matrix), _stopped(matrix), _noticed(matrix), _alarms(matrix)]
    return [*filter(None, said), _limits(matrix, seeds)]


def _through(matrix: AttackMatrix) -> str:
    """Return the headline: what each attack got without a defense."""
    got = [m for m in (matrix.undefended(a) for a in matrix.attacks) if m.asked]
    if not got:
        return "Nothing was attacked, so there is nothing to say."
    told = ", ".join(f"{m.attack} {m.recovered} of {m.asked}" for m in got)
    things = got[0].measure.things if got[0].measure else "examples"
    best = max(got, key=lambda m: m.share or 0)
    return (
        f"Without a defense the server recovers up to {best.share or 0:.0%} of the {things} that "
        f"it attacks: {told}."
    )


def _stopped(matrix: AttackMatrix) -> str:
    """Return for each defense the attacks of which something came through, and what did not."""
    parts = []
    for defense in matrix.defenses:
        row = [m for m in matrix.row(defense) if m.problem is None]
        if not row:
            continue
        through = [m.attack for m in row if any(m.meanings.get(x) for x in EXPOSED)]
        if through:
            parts.append(f"{defense}: {_several(through, [m.attack for m in row])}")
        elif all(m.asked == 0 for m in row):
            parts.append(f"{defense}: none, every attack was refused")
        else:
            parts.append(f"{defense}: none{_why(row)}")
    return f"Attacks that still tell something, by defense. {'; '.join(parts)}."


def _several(through: Sequence[str], attacks: Sequence[str]) -> str:
    """Return the names of attacks, or of the few that are not among them."""
    others = [a for a in attacks if a not in through]
    if not others:
        return "all"
    if len(others) < len(through):
        return f"all but {', '.join(others)}"
    return ", ".join(through)


def _why(row: Sequence[Pairing]) -> str:
    """Return the reason why nothing came through, which decides whether that is protection."""
    epsilons = [m.epsilon for m in row if m.epsilon is not None]
    if epsilons:
        weak = "guarantees next to nothing" if max(epsilons) > WEAK_EPSILON else "bounds any other"
        return f" (ε ≤ {upper(max(epsilons))} {weak})"
    if any(m.meanings.get(x) for m in row for x in (Meaning.ATTACK_FAILED, Meaning.UNSCORED)):
        return ", but they failed, which is not protection"
    return ""


def _noticed(matrix: AttackMatrix) -> str:
    parts = [f"{a} by {', '.join(by)}" for a in matrix.attacks if (by := noticed_by(matrix, a))]
    changing = [a for a in matrix.attacks if any(m.receivers for m in matrix.column(a))]
    unseen = [a for a in changing if not noticed_by(matrix, a)]
    said = f"Noticed: {'; '.join(parts)}." if parts else "Nobody noticed anything."
    return (
        f"{said} Noticed by none of the checks: {', '.join(unseen)}." if unseen and parts else said
    )


def _alarms(matrix: AttackMatrix) -> str | None:
    checked = sum(m.checked for m in matrix.pairings.values())
    if not checked:
        return None
    by_defense = {d: sum(m.alarms for m in matrix.row(d)) for d in matrix.defenses}
    total = sum(by_defense.values())
    named = ", ".join(f"{d} {n}" for d, n in by_defense.items() if n)
    by = f" ({named})" if named else ""
    return f"False alarms: {total} in {checked} checks of honest models{by}."


def _limits(matrix: AttackMatrix, seeds: int) -> str:
    most = max((m.asked for m in matrix.pairings.values()), default=0)
    return (
        f"This rests on {seeds} {'seed' if seeds == 1 else 'seeds'}, at most {most} examples for "
        "each figure, one network and one data set. A read-out of a changed model has no adaptive "
        "form, so its failure is called 'attack failed', never protection; a stronger or better "
        "hidden attack may exist."
    )
