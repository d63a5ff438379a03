"""Defenses that stop only a weaker attacker, in sentences."""

from __future__ import annotations

from collections.abc import Sequence

from fedsim.core.names import ADAPTIVE, NAIVE, OVER_ROUNDS, Attacker
from fedsim.log.results import Result

_FEW = 0.05
"""Maximum share of examples that leak, in part or fully, for a defense to look safe."""


def looks_safe(results: Sequence[Result]) -> str | None:
    """Return a sentence on defenses that are safe only against a naive attacker, or None."""
    pairs: dict[tuple[tuple[int, int], str], dict[Attacker, Result]] = {}
    for result in results:
        pairs.setdefault((result.order, result.stage), {})[result.attacker] = result
    fooled = [
        pair[NAIVE].name
        for pair in pairs.values()
        if {NAIVE, ADAPTIVE} <= set(pair) and not _shows(pair[NAIVE]) and _shows(pair[ADAPTIVE])
    ]
    if not fooled:
        return None
    names = ", ".join(dict.fromkeys(fooled))
    return (
        f"Only an attacker who ignores the defense is stopped by: {names}. An attacker "
        f"who knows it recognises some or all of the {results[0].measure.things}."
    )


def falls_over_rounds(results: Sequence[Result]) -> str | None:
    """Return a sentence on defenses that hold in single rounds alone, or None."""
    cells: dict[tuple[int, int], list[Result]] = {}
    for result in results:
        cells.setdefault(result.order, []).append(result)
    fallen = [
        own[0].name
        for own in cells.values()
        if any(r.attacker == OVER_ROUNDS and _shows(r) for r in own)
        and not any(r.attacker != OVER_ROUNDS and _shows(r) for r in own)
    ]
    if not fallen:
        return None
    return (
        f"Only an attacker of single rounds is stopped by: {', '.join(fallen)}. All rounds "
        f"together show some or all of the {results[0].measure.things}, in part or fully."
    )


def _shows(result: Result) -> bool:
    return result.leaked + result.partly > _FEW * result.examples
