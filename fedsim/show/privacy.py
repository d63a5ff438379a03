"""Privacy guarantees in words."""

from __future__ import annotations

import math
from collections.abc import Sequence

from fedsim.log.schema import Meaning, PrivacySpent
from fedsim.log.summary import Row

_UNITS = {"example": "one example", "client": "all data of a client"}


def upper(bound: float) -> str:
    """Return an upper bound with three digits, rounded up."""
    if bound == 0 or not math.isfinite(bound):
        return f"{bound:g}"
    step = 10.0 ** (math.floor(math.log10(abs(bound))) - 2)
    # Within the precision of the figure itself, no further step up.
    return f"{math.ceil(bound / step * (1 - 1e-9)) * step:.3g}"


def lower(bound: float) -> str:
    """Return a lower bound with two digits, rounded down."""
    if bound <= 0 or not math.isfinite(bound):
        return f"{bound:g}"
    step = 10.0 ** (math.floor(math.log10(bound)) - 1)
    return f"{math.floor(bound / step * (1 + 1e-9)) * step:.2g}"


def guarantee(spent: PrivacySpent) -> str:
    """Return a guarantee with all that it depends on, in one line."""
    if spent.epsilon is None:
        return f"no ε: {spent.withheld}" if spent.withheld else "no ε"
    details = [f"δ = {spent.delta:g}", _neighbours(spent)]
    if spent.noise_multiplier is not None and spent.norm is not None:
        details.append(f"σ = {spent.noise_multiplier:g} on norm {spent.norm:g}")
    details += [d for d in (_sampling(spent), _uploads(spent)) if d]
    return f"ε ≤ {upper(spent.epsilon)} ({', '.join(details)})"


def robustness(spent: PrivacySpent) -> str:
    """Return the bound on reconstructions under a guarantee, or nothing if there is none."""
    if spent.success is None or spent.blind is None:
        return ""
    if spent.success > 0.995:
        return "this ε bounds no reconstruction"
    return (
        f"whatever the attack, what a guess gets right in {spent.blind:.0%} of cases is "
        f"reconstructed in at most {math.ceil(1000 * spent.success) / 10:.3g}%"
    )


def audited(spent: PrivacySpent) -> str:
    """Return the result of the audit, or nothing without one."""
    if spent.claimed is None or spent.measured is None or spent.epsilon is None:
        return ""
    claimed, measured = upper(spent.claimed), lower(spent.measured)
    return f"audit of one upload: claimed ≤ {claimed}, measured ≥ {measured} at 95%"


def _neighbours(spent: PrivacySpent) -> str:
    what = _UNITS.get(spent.unit, spent.unit)
    return f"{what} replaced" if spent.adjacency else f"unit: {what}"


def _sampling(spent: PrivacySpent) -> str:
    if spent.unit != "example" or spent.drawn is None or spent.population is None:
        return ""
    if spent.drawn < spent.population:
        return f"{spent.drawn} of {spent.population} examples drawn"
    return "no sampling" if spent.uses == 1 else f"each example in {spent.uses} steps at most"


def _uploads(spent: PrivacySpent) -> str:
    if spent.uploads is None:
        return ""
    return f"{spent.uploads} upload{'' if spent.uploads == 1 else 's'}"


def statements(rows: Sequence[Row]) -> list[tuple[str, str]]:
    """Return each client group with a mechanism, and its guarantee beside what attacks achieved."""
    found = []
    guaranteed = {row.group: row.privacy for row in rows if row.privacy is not None}
    for group, spent in guaranteed.items():
        own = [row for row in rows if row.group == group]
        parts = [guarantee(spent), audited(spent), robustness(spent)]
        worst = max(own, key=lambda row: row.count(Meaning.LEAKED) / row.examples)
        leaked = f"{worst.count(Meaning.LEAKED)} of {worst.examples}"
        parts.append(f"the {worst.attacker} attacker made {leaked} recognisable")
        found.append((group, "; ".join(p for p in parts if p)))
    return found
