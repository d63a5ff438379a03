"""Objectives: how far a dummy gradient is from the shared one.

An objective sees one trial of one victim; the matching loop maps it over all of them. What
is optimised here never meets what is judged (`fedsim.metrics`).
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor


class Objective(ABC):
    """A differentiable distance between two gradients of the same parameters."""

    @abstractmethod
    def __call__(self, dummy: Mapping[str, Tensor], shared: Mapping[str, Tensor]) -> Tensor:
        """Return the distance, a scalar >= 0.

        Args:
            dummy: gradient of the dummy batch, by parameter name.
            shared: the observed gradient, by the same names.
        """


@dataclass(frozen=True)
class SquaredDistance(Objective):
    """Unweighted sum of squared differences (DLG; Zhu, Liu, Han 2019, equation 1)."""

    def __call__(self, dummy: Mapping[str, Tensor], shared: Mapping[str, Tensor]) -> Tensor:
        """Return the distance, a scalar >= 0."""
        return torch.stack([((dummy[k] - shared[k]) ** 2).sum() for k in shared]).sum()


@dataclass(frozen=True)
class SurvivingDistance(Objective):
    """Squared distance over the coordinates that pruning left: those that are not zero.

    A pruned coordinate says nothing of the data except that it was small. An attacker who
    matches the zeros too is led away from the data by them; one who leaves them out has
    exact equations, usually still more of them than unknowns.
    """

    def __call__(self, dummy: Mapping[str, Tensor], shared: Mapping[str, Tensor]) -> Tensor:
        """Return the distance, a scalar >= 0."""
        return torch.stack(
            [torch.where(shared[k] != 0, (dummy[k] - shared[k]) ** 2, 0.0).sum() for k in shared]
        ).sum()


@dataclass(frozen=True)
class CosineDistance(Objective):
    """One minus the cosine of the angle between both gradients, all parameters together.

    Geiping et al., Inverting Gradients, NeurIPS 2020 (arXiv 2003.14053), equation 4.
    """

    def __call__(self, dummy: Mapping[str, Tensor], shared: Mapping[str, Tensor]) -> Tensor:
        """Return the distance, a scalar in [0, 2]; 1 where one of them is zero."""
        product = torch.stack([(dummy[k] * shared[k]).sum() for k in shared]).sum()
        sizes = [
            torch.stack([(gradient[k] ** 2).sum() for k in shared]).sum()
            for gradient in (dummy, shared)
        ]
        return 1 - product / (sizes[0] * sizes[1] + torch.finfo(product.dtype).tiny).sqrt()
