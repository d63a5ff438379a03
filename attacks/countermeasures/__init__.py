"""Adaptive attackers: one file for each kind of defense that has a known answer."""

from attacks.countermeasures.base import Countermeasure
from attacks.countermeasures.noise import ExpectGaussianNoise, ExpectLaplacianNoise
from attacks.countermeasures.pruning import MatchSent, MatchSurvivors
from attacks.countermeasures.rounding import AllowForBfloat16, AllowForFp16, AllowForInt8

__all__ = [
    "AllowForBfloat16",
    "AllowForFp16",
    "AllowForInt8",
    "Countermeasure",
    "ExpectGaussianNoise",
    "ExpectLaplacianNoise",
    "MatchSent",
    "MatchSurvivors",
]
