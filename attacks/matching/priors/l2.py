"""The L2 norm."""

from dataclasses import dataclass

from torch import Tensor

from fedsim.attacks.matching.priors.base import Prior


@dataclass(frozen=True)
class L2(Prior):
    """Squared distance from mid-grey, summed over all numbers.

    Yin et al., GradInversion, CVPR 2021 (arXiv 2104.07586), equation 7, for normalised data with a
    mean of zero; here data are in [0, 1].

    Args:
        weight: factor of the cost.
    """

    weight: float = 1e-6

    def __call__(self, data: Tensor) -> Tensor:
        """Return the cost, a scalar >= 0."""
        return self.weight * ((data - 0.5) ** 2).sum()
