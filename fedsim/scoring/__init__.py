"""Judges reconstructions against the private data, after the attacks have ended."""

from fedsim.scoring.reader import Reader
from fedsim.scoring.scorer import FIT_FLOOR, FIT_MARGIN, Scorer
from fedsim.scoring.types import Leakage, Meaning, Scored, TextLeakage

__all__ = [
    "FIT_FLOOR",
    "FIT_MARGIN",
    "Leakage",
    "Meaning",
    "Reader",
    "Scored",
    "Scorer",
    "TextLeakage",
]
