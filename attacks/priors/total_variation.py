"""Total variation."""

from dataclasses import dataclass

from torch import Tensor

from attacks.priors.base import Prior

SMOOTHING = 1e-3
"""Differences below this count by their square, so that there is a derivative at zero."""


@dataclass(frozen=True)
class TotalVariation(Prior):
    """Mean absolute difference of neighbouring pixels, down plus across, for any channels.

    Rudin, Osher, Fatemi 1992, as Geiping et al., NeurIPS 2020 (arXiv 2003.14053), section 4,
    regularise: anisotropic, each direction averaged over pixels, channels and examples. We
    smooth the absolute value at zero: ``sqrt(d² + s²) - s`` with ``s`` = `SMOOTHING`.

    Args:
        weight: what it is multiplied by.
    """

    weight: float = 1e-4

    def __call__(self, data: Tensor) -> Tensor:
        """Return the cost, a scalar >= 0; data may have any number of leading axes."""
        down, across = data.diff(dim=-2), data.diff(dim=-1)
        return self.weight * sum(
            (_smooth_abs(d).mean() for d in (down, across) if d.numel()), data.new_zeros(())
        )


def _smooth_abs(x: Tensor) -> Tensor:
    return (x**2 + SMOOTHING**2).sqrt() - SMOOTHING
