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
from clients.defenses.dp_sgd import DPSGD
from clients.defenses.fp16 import Fp16
from clients.defenses.instahide import InstaHide
from clients.defenses.int8 import Int8
from clients.defenses.mixup import Mixup
from clients.defenses.noise import GaussianNoise, LaplacianNoise
from clients.defenses.none import NoDefense
from clients.defenses.pipeline import DefenseRecord, ProtectedUpload, protect
from clients.defenses.pruning import Pruning
from clients.defenses.soteria import Soteria
from clients.defenses.steps import DefendedSteps
from clients.defenses.transform_search import TransformSearch
from clients.defenses.wire import payload_bytes

__all__ = [
    "DPSGD",
    "Batch",
    "Bfloat16",
    "Computed",
    "DefendedSteps",
    "Defense",
    "DefenseRecord",
    "Fp16",
    "GaussianNoise",
    "InstaHide",
    "Int8",
    "LaplacianNoise",
    "Mechanism",
    "Mixup",
    "NoDefense",
    "Private",
    "Protected",
    "ProtectedUpload",
    "Pruning",
    "Soteria",
    "TransformSearch",
    "defense",
    "defense_generator",
    "fresh_generator",
    "payload_bytes",
    "protect",
]
