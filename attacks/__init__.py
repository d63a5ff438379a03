"""Gradient inversion attacks; they need only PyTorch and work without a federation.

Example:
    >>> import torch
    >>> from fedsim.attacks import IDLG, Observation
    >>> model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 3))
    >>> x, y = torch.rand(1, 1, 4, 4), torch.tensor([2])
    >>> loss = torch.nn.functional.cross_entropy(model(x), y)
    >>> gradient = dict(zip(dict(model.named_parameters()), torch.autograd.grad(
    ...     loss, model.parameters())))
    >>> [found] = IDLG(evaluations=200).run(model, [Observation(gradient, (1, 4, 4))])
    >>> found.labels.tolist(), bool((found.data - x).abs().max() < 0.01)
    ([2], True)
"""

from fedsim.attacks.adaptive.pruning import SurvivingDistance
from fedsim.attacks.assumptions import Assumptions, Loss, Normalisation
from fedsim.attacks.base import Attack
from fedsim.attacks.best import BestOf
from fedsim.attacks.closed.april import April
from fedsim.attacks.closed.base import ClosedForm
from fedsim.attacks.closed.dense import DenseInversion
from fedsim.attacks.closed.rgap.attack import RGAP
from fedsim.attacks.closed.spear import SPEAR
from fedsim.attacks.dlg import DLG
from fedsim.attacks.gradinversion import GradInversion
from fedsim.attacks.idlg import IDLG
from fedsim.attacks.inverting_gradients import InvertingGradients
from fedsim.attacks.labels.infer import infer_labels
from fedsim.attacks.local_optimisers import SGD, Adam, LocalOptimiser
from fedsim.attacks.local_training import LocalTraining
from fedsim.attacks.losses import as_loss
from fedsim.attacks.matching.attack import GradientMatching
from fedsim.attacks.matching.objectives import CosineDistance, Objective, SquaredDistance
from fedsim.attacks.matching.priors import L2, Prior, TotalVariation
from fedsim.attacks.surrogate import Surrogate
from fedsim.attacks.text.bag_reading import BagOfTokens
from fedsim.attacks.text.dager import Dager
from fedsim.attacks.text.hugging_face import as_text_model
from fedsim.attacks.text.lamp import Lamp
from fedsim.attacks.text.model import TextModel
from fedsim.attacks.text.tag import Tag
from fedsim.attacks.text.token_search import TokenSearch
from fedsim.attacks.types import (
    Observation,
    Progress,
    Reconstruction,
    Snapshot,
    Status,
    TruthFit,
)
from fedsim.core.losses import mean_cross_entropy

__all__ = [
    "DLG",
    "IDLG",
    "L2",
    "RGAP",
    "SGD",
    "SPEAR",
    "Adam",
    "April",
    "Assumptions",
    "Attack",
    "BagOfTokens",
    "BestOf",
    "ClosedForm",
    "CosineDistance",
    "Dager",
    "DenseInversion",
    "GradInversion",
    "GradientMatching",
    "InvertingGradients",
    "Lamp",
    "LocalOptimiser",
    "LocalTraining",
    "Loss",
    "Normalisation",
    "Objective",
    "Observation",
    "Prior",
    "Progress",
    "Reconstruction",
    "Snapshot",
    "SquaredDistance",
    "Status",
    "Surrogate",
    "SurvivingDistance",
    "Tag",
    "TextModel",
    "TokenSearch",
    "TotalVariation",
    "TruthFit",
    "as_loss",
    "as_text_model",
    "infer_labels",
    "mean_cross_entropy",
]
