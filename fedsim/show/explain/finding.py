"""A likely cause of a failure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """A likely cause of a failure.

    Attributes:
        cause: a short name.
        strength: support by the log compared with other causes, in [0, 1].
        evidence: evidence in the run; states if it comes only from the scenario.
        advice: remedy.
    """

    cause: str
    strength: float
    evidence: str
    advice: str
