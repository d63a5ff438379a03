"""Defenses of clients, one file each; they need only PyTorch.

``protect`` applies defenses to an upload; a guide for a new one is in ``clients/README.md``.
"""

from fedsim.clients.defenses.architecture_drift import ArchitectureDrift
from fedsim.clients.defenses.base import (
    Batch,
    BatchLoss,
    Computed,
    Defense,
    Mechanism,
    Private,
    Protected,
    defense_generator,
    fresh_generator,
)
from fedsim.clients.defenses.bfloat16 import Bfloat16
from fedsim.clients.defenses.checking import Check, Examined, Finding, Received, examined
from fedsim.clients.defenses.clipping import Clipping, LayerClipping
from fedsim.clients.defenses.dead_units import DeadUnits
from fedsim.clients.defenses.dgc import DeepGradientCompression
from fedsim.clients.defenses.dp_sgd import DPSGD
from fedsim.clients.defenses.fp16 import Fp16
from fedsim.clients.defenses.instahide import InstaHide
from fedsim.clients.defenses.int8 import Int8
from fedsim.clients.defenses.layer_dropout import PartialUpload
from fedsim.clients.defenses.local_dp import LocalDP
from fedsim.clients.defenses.loss_jump import LossJump
from fedsim.clients.defenses.mixup import Mixup
from fedsim.clients.defenses.model_agreement import ModelAgreement
from fedsim.clients.defenses.noise import GaussianNoise, LaplacianNoise
from fedsim.clients.defenses.none import NoDefense
from fedsim.clients.defenses.pipeline import (
    DefenseRecord,
    ProtectedUpload,
    is_private,
    protect,
)
from fedsim.clients.defenses.pruning import Pruning
from fedsim.clients.defenses.qsgd import QSGD, StochasticQuantisation
from fedsim.clients.defenses.signsgd import SignSGD
from fedsim.clients.defenses.single_example import SingleExampleDominance
from fedsim.clients.defenses.soteria import Soteria
from fedsim.clients.defenses.sparsification import RandomSparsification
from fedsim.clients.defenses.steps import DefendedSteps, acts_on_steps
from fedsim.clients.defenses.transform_search import TransformSearch
from fedsim.clients.defenses.weight_statistics import WeightStatistics
from fedsim.clients.defenses.wire import payload_bytes

__all__ = [
    "DPSGD",
    "QSGD",
    "ArchitectureDrift",
    "Batch",
    "BatchLoss",
    "Bfloat16",
    "Check",
    "Clipping",
    "Computed",
    "DeadUnits",
    "DeepGradientCompression",
    "DefendedSteps",
    "Defense",
    "DefenseRecord",
    "Examined",
    "Finding",
    "Fp16",
    "GaussianNoise",
    "InstaHide",
    "Int8",
    "LaplacianNoise",
    "LayerClipping",
    "LocalDP",
    "LossJump",
    "Mechanism",
    "Mixup",
    "ModelAgreement",
    "NoDefense",
    "PartialUpload",
    "Private",
    "Protected",
    "ProtectedUpload",
    "Pruning",
    "RandomSparsification",
    "Received",
    "SignSGD",
    "SingleExampleDominance",
    "Soteria",
    "StochasticQuantisation",
    "TransformSearch",
    "WeightStatistics",
    "acts_on_steps",
    "defense_generator",
    "examined",
    "fresh_generator",
    "is_private",
    "payload_bytes",
    "protect",
]
