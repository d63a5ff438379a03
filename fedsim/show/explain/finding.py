"""A cause that was found."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """A cause of a failure.

    Attributes:
        cause: in a few words.
        strength: in [0, 1]: how well the log supports it, compared with others.
        evidence: what in the run speaks for it; says so where that is the scenario alone.
        advice: what to do next.
    """

    cause: str
    strength: float
    evidence: str
    advice: str
