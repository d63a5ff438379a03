"""Adaptive attackers: one file for each kind of defense, or model, that has a known answer."""

from attacks.countermeasures.base import Countermeasure
from attacks.countermeasures.clipping import ClipLayersToo, ClipToo
from attacks.countermeasures.dp_sgd import ExpectClippedExamples
from attacks.countermeasures.layer_dropout import MatchSharedLayers
from attacks.countermeasures.local_dp import ExpectClippingAndNoise
from attacks.countermeasures.noise import ExpectGaussianNoise, ExpectLaplacianNoise
from attacks.countermeasures.precode import LeaveOutBottleneck
from attacks.countermeasures.pruning import MatchSent, MatchSurvivors
from attacks.countermeasures.qsgd import ExpectQSGD, ExpectStochasticQuantisation
from attacks.countermeasures.rounding import AllowForBfloat16, AllowForFp16, AllowForInt8
from attacks.countermeasures.signsgd import MatchSigns
from attacks.countermeasures.soteria import LeaveOutLastWeight
from attacks.countermeasures.sparsification import MatchSample

__all__ = [
    "AllowForBfloat16",
    "AllowForFp16",
    "AllowForInt8",
    "ClipLayersToo",
    "ClipToo",
    "Countermeasure",
    "ExpectClippedExamples",
    "ExpectClippingAndNoise",
    "ExpectGaussianNoise",
    "ExpectLaplacianNoise",
    "ExpectQSGD",
    "ExpectStochasticQuantisation",
    "LeaveOutBottleneck",
    "LeaveOutLastWeight",
    "MatchSample",
    "MatchSent",
    "MatchSharedLayers",
    "MatchSigns",
    "MatchSurvivors",
]
