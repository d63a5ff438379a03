"""Changes to a scenario or a comparison, given as keyword arguments."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def settings(overrides: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Return keyword arguments as dotted keys and their values.

    A mapping changes only the keys that it contains: ``federation={"rounds": 2}`` is
    ``federation.rounds = 2``. A mapping with a ``name`` replaces the previous value:
    ``adversary={"attack": {"name": "dlg", "evaluations": 50}}``. Dotted keys are allowed too, as in
    ``**{"federation.rounds": 2}``.
    """
    found: list[tuple[str, Any]] = []
    for key, value in overrides.items():
        if isinstance(value, Mapping) and "name" not in value:
            found += settings({f"{key}.{inner}": v for inner, v in value.items()})
        else:
            found.append((key, value))
    return found
