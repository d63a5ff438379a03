"""Scoring of reconstructions against the private data, after the attacks have ended."""

from fedsim.scoring.scorer import Scorer
from fedsim.scoring.types import Scored

__all__ = ["Scored", "Scorer"]
