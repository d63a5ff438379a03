"""Countermeasures of adaptive attackers, one file for each type of defense or model."""

from fedsim.attacks.adaptive.answer import Answer, Known
from fedsim.attacks.adaptive.base import Countermeasure
from fedsim.attacks.adaptive.clipping import ClipLayersToo, ClipToo
from fedsim.attacks.adaptive.compose import adapt, countermeasures_of
from fedsim.attacks.adaptive.dp_sgd import ExpectClippedExamples
from fedsim.attacks.adaptive.layer_dropout import MatchSharedLayers
from fedsim.attacks.adaptive.local_dp import ExpectClippingAndNoise
from fedsim.attacks.adaptive.mixtures import UnmixSigned, Unmixup
from fedsim.attacks.adaptive.noise import ExpectGaussianNoise, ExpectLaplacianNoise
from fedsim.attacks.adaptive.precode import FindDraws
from fedsim.attacks.adaptive.pruning import MatchSent, MatchSurvivors
from fedsim.attacks.adaptive.qsgd import ExpectQSGD, ExpectStochasticQuantisation
from fedsim.attacks.adaptive.rounding import AllowForBfloat16, AllowForFp16, AllowForInt8
from fedsim.attacks.adaptive.signsgd import MatchSigns
from fedsim.attacks.adaptive.soteria import LeaveOutLastWeight
from fedsim.attacks.adaptive.sparsification import MatchSample
from fedsim.attacks.adaptive.sums import adapt_to_sum
from fedsim.attacks.adaptive.transform_search import FindPolicy

__all__ = [
    "AllowForBfloat16",
    "AllowForFp16",
    "AllowForInt8",
    "Answer",
    "ClipLayersToo",
    "ClipToo",
    "Countermeasure",
    "ExpectClippedExamples",
    "ExpectClippingAndNoise",
    "ExpectGaussianNoise",
    "ExpectLaplacianNoise",
    "ExpectQSGD",
    "ExpectStochasticQuantisation",
    "FindDraws",
    "FindPolicy",
    "Known",
    "LeaveOutLastWeight",
    "MatchSample",
    "MatchSent",
    "MatchSharedLayers",
    "MatchSigns",
    "MatchSurvivors",
    "UnmixSigned",
    "Unmixup",
    "adapt",
    "adapt_to_sum",
    "countermeasures_of",
]
