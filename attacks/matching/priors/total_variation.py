"""Total variation."""

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from fedsim.attacks.matching.priors.base import Prior


@dataclass(frozen=True)
class TotalVariation(Prior):
    """Absolute differences of neighbouring pixels, vertical plus horizontal, for any channels.

    Rudin, Osher, Fatemi 1992, in the form of Geiping et al., NeurIPS 2020 (arXiv 2003.14053),
    section 4: anisotropic, each direction averaged over pixels, channels and examples. The sum
    instead of the mean makes it minus the logarithm of a density up to a constant, with Laplacian
    differences of scale 1 / weight. We smooth the absolute value at zero:
    ``sqrt(d² + s²) - s``.

    Args:
        weight: factor of the cost.
        reduction: whether to average over the differences of a direction, or to sum them.
        smoothing: s; differences below it count quadratically, so that the derivative exists at
            zero.
    """

    weight: float = 1e-4
    reduction: Literal["mean", "sum"] = "mean"
    smoothing: float = 1e-3

    def __call__(self, data: Tensor) -> Tensor:
        """Return the cost, a scalar >= 0; data may have any number of leading axes."""
        total = data.new_zeros(())
        for difference in (data.diff(dim=-2), data.diff(dim=-1)):
            if difference.numel():
                cost = (difference**2 + self.smoothing**2).sqrt() - self.smoothing
                total = total + (cost.mean() if self.reduction == "mean" else cost.sum())
        return self.weight * total
