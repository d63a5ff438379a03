"""Judges reconstructions against the private data, after the attacks have ended."""

from fedsim.scoring.reader import Reader
from fedsim.scoring.scorer import FIT_MARGIN, Scorer
from fedsim.scoring.types import Scored

__all__ = [
    "FIT_MARGIN",
    "Reader",
    "Scored",
    "Scorer",
]
