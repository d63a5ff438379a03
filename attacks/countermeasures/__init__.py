"""Adaptive attackers: one file for each defense that has a known answer."""

from attacks.countermeasures.base import Countermeasure
from attacks.countermeasures.pruning import MatchSurvivors

__all__ = ["Countermeasure", "MatchSurvivors"]
