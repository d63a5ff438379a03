"""Gradient inversion attacks: PyTorch in, PyTorch out, usable on their own.

Example:
    >>> import torch
    >>> from attacks import IDLG, Observation
    >>> model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 3))
    >>> x, y = torch.rand(1, 1, 4, 4), torch.tensor([2])
    >>> loss = torch.nn.functional.cross_entropy(model(x), y)
    >>> gradient = dict(zip(dict(model.named_parameters()), torch.autograd.grad(
    ...     loss, model.parameters())))
    >>> [found] = IDLG(evaluations=200).run(model, [Observation(gradient, (1, 4, 4))])
    >>> found.labels.tolist(), bool((found.data - x).abs().max() < 0.01)
    ([2], True)
"""

from attacks.base import Attack
from attacks.best import BestOf
from attacks.closed_form import ClosedForm
from attacks.dense import DenseInversion
from attacks.dlg import DLG
from attacks.gradinversion import GradInversion
from attacks.idlg import IDLG
from attacks.inverting_gradients import InvertingGradients
from attacks.labels import infer_labels
from attacks.matching import GradientMatching
from attacks.objectives import CosineDistance, Objective, SquaredDistance, SurvivingDistance
from attacks.priors import L2, Prior, TotalVariation
from attacks.rgap import RGAP
from attacks.spear import SPEAR
from attacks.text import BagOfTokens, Dager, Lamp, Tag
from attacks.types import (
    LocalTraining,
    Observation,
    Progress,
    Reconstruction,
    Snapshot,
    Status,
)

__all__ = [
    "DLG",
    "IDLG",
    "L2",
    "RGAP",
    "SPEAR",
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
    "LocalTraining",
    "Objective",
    "Observation",
    "Prior",
    "Progress",
    "Reconstruction",
    "Snapshot",
    "SquaredDistance",
    "Status",
    "SurvivingDistance",
    "Tag",
    "TotalVariation",
    "infer_labels",
]
