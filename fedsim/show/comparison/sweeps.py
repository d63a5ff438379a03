"""Two-way sweeps in sentences."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence

from fedsim.core.names import NO_DEFENSE
from fedsim.log.results import Result
from fedsim.show.comparison.heat import SIDES
from fedsim.show.comparison.tables import distinct

_FEW = 3
"""Maximum number of strengths of a sweep that are listed by name."""


def is_setting(result: Result) -> bool:
    """Return whether the result belongs to a sweep of the federation, without any defense."""
    return len(result.settings) == SIDES and not result.chain


def names_of(results: Iterable[Result]) -> str:
    """Return the names of defenses with their strengths; those of a long sweep are counted."""
    swept: dict[str, list[str]] = {}
    for r in results:
        key = r.label if len(r.settings) == SIDES else r.name
        names = swept.setdefault(key, [])
        if r.name not in names:
            names.append(r.name)
    return ", ".join(
        f"{label} ({len(names)} settings)" if len(names) > _FEW else ", ".join(names)
        for label, names in swept.items()
    )


def sweeps_said(results: Sequence[Result]) -> list[str]:
    """Return a paragraph for each sweep without a defense, stage and attacker."""
    sweeps: dict[tuple[str, str, str], list[Result]] = {}
    for r in distinct(results):
        if is_setting(r) and r.label != NO_DEFENSE and r.scores:
            sweeps.setdefault((r.label, r.stage, r.attacker), []).append(r)
    return [_said(names, own) for names, own in sweeps.items()]


def _said(names: tuple[str, str, str], own: Sequence[Result]) -> str:
    """Return the extremes of a sweep, and the doubts about them."""
    label, stage, attacker = names
    measure = own[0].measure
    ordered = sorted(
        own,
        key=lambda r: (r.leaked / r.examples, r.partly / r.examples, statistics.fmean(r.scores)),
    )
    least, most = (
        f"{r.strength} ({measure.told(statistics.fmean(r.scores))} on average, {r.leaked} of "
        f"{r.examples} {measure.things} leaked{f', {r.partly} more in part' if r.partly else ''})"
        for r in (ordered[0], ordered[-1])
    )
    parts = [
        f"{sum(r.leaked > 0 for r in own)} of {len(own)} settings of {label} leaked "
        f"{measure.leaked}: attacked {stage} by the {attacker} attacker, the most leaks at "
        f"{most}, the least at {least}."
    ]
    failed = sum(r.attack_failed + r.unscored > 0 for r in own)
    if failed:
        parts.append(
            f"In {failed} of {len(own)} settings the attack failed on some {measure.things}: that "
            "is not protection, and a better attack may find them. A setting does not defend: "
            "nothing here is evidence that one protects."
        )
    else:
        parts.append(
            "A setting does not defend: a better attack may find more, and nothing here is "
            "evidence that one protects."
        )
    return " ".join(parts)
