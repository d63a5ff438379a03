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
from attacks.dlg import DLG
from attacks.idlg import IDLG
from attacks.labels import infer_labels
from attacks.matching import GradientMatching
from attacks.objectives import Objective, SquaredDistance, SurvivingDistance
from attacks.types import (
    Observation,
    Progress,
    Reconstruction,
    Snapshot,
    Status,
)

__all__ = [
    "DLG",
    "IDLG",
    "Attack",
    "GradientMatching",
    "Objective",
    "Observation",
    "Progress",
    "Reconstruction",
    "Snapshot",
    "SquaredDistance",
    "Status",
    "SurvivingDistance",
    "infer_labels",
]
