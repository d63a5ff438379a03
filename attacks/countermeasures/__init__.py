"""Adaptive attackers: one file for each kind of defense, or model, that has a known answer."""

from attacks.countermeasures.base import Countermeasure
from attacks.countermeasures.dp_sgd import ExpectClippingAndNoise
from attacks.countermeasures.noise import ExpectGaussianNoise, ExpectLaplacianNoise
from attacks.countermeasures.precode import LeaveOutBottleneck
from attacks.countermeasures.pruning import MatchSurvivors
from attacks.countermeasures.rounding import AllowForBfloat16, AllowForFp16, AllowForInt8
from attacks.countermeasures.soteria import LeaveOutLastWeight

__all__ = [
    "AllowForBfloat16",
    "AllowForFp16",
    "AllowForInt8",
    "Countermeasure",
    "ExpectClippingAndNoise",
    "ExpectGaussianNoise",
    "ExpectLaplacianNoise",
    "LeaveOutBottleneck",
    "LeaveOutLastWeight",
    "MatchSurvivors",
]
