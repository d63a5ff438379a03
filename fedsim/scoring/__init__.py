"""Scoring of reconstructions against the private data, after the attacks have ended."""

from fedsim.scoring.scorer import FIT_MARGIN, Scorer
from fedsim.scoring.types import Scored

__all__ = [
    "FIT_MARGIN",
    "Scored",
    "Scorer",
]
