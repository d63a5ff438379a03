"""What clients do so that their uploads tell less: one file per defense, PyTorch alone.

``protect`` applies defenses to an upload; a guide for a new one is in ``clients/README.md``.
"""

from clients.defenses.base import (
    Batch,
    Computed,
    Defense,
    Mechanism,
    Private,
    Protected,
    defense,
    defense_generator,
    fresh_generator,
)
from clients.defenses.bfloat16 import Bfloat16
from clients.defenses.clipping import Clipping, LayerClipping
from clients.defenses.dgc import DeepGradientCompression
from clients.defenses.dp_sgd import DPSGD
from clients.defenses.fp16 import Fp16
from clients.defenses.instahide import InstaHide
from clients.defenses.int8 import Int8
from clients.defenses.layer_dropout import PartialUpload
from clients.defenses.local_dp import LocalDP
from clients.defenses.mixup import Mixup
from clients.defenses.noise import GaussianNoise, LaplacianNoise
from clients.defenses.none import NoDefense
from clients.defenses.pipeline import DefenseRecord, ProtectedUpload, protect
from clients.defenses.pruning import Pruning
from clients.defenses.qsgd import QSGD, StochasticQuantisation
from clients.defenses.signsgd import SignSGD
from clients.defenses.soteria import Soteria
from clients.defenses.sparsification import RandomSparsification
from clients.defenses.steps import DefendedSteps, acts_on_steps
from clients.defenses.transform_search import TransformSearch
from clients.defenses.wire import payload_bytes

__all__ = [
    "DPSGD",
    "QSGD",
    "Batch",
    "Bfloat16",
    "Clipping",
    "Computed",
    "DeepGradientCompression",
    "DefendedSteps",
    "Defense",
    "DefenseRecord",
    "Fp16",
    "GaussianNoise",
    "InstaHide",
    "Int8",
    "LaplacianNoise",
    "LayerClipping",
    "LocalDP",
    "Mechanism",
    "Mixup",
    "NoDefense",
    "PartialUpload",
    "Private",
    "Protected",
    "ProtectedUpload",
    "Pruning",
    "RandomSparsification",
    "SignSGD",
    "Soteria",
    "StochasticQuantisation",
    "TransformSearch",
    "acts_on_steps",
    "defense",
    "defense_generator",
    "fresh_generator",
    "payload_bytes",
    "protect",
]
