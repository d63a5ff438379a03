"""Objectives of an attacker who knows what was done to the gradient, and does it to the dummy."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from attacks.objectives import Gradient, Objective, Wrapper


@dataclass(frozen=True)
class ClippedDistance(Wrapper):
    """Distance after the dummy gradient is clipped as the shared one was.

    Beyond the bound only the direction counts, below it the length does too. An upload shorter
    than the bound was not clipped, and then the dummy is not either: a clipped dummy does not feel
    its length, and a search that need not go without should have it. That is left out where a
    wrapper below says that parts of the upload were removed, which shortens it.

    Attributes:
        norm: largest L2 norm, in the unit of the gradient.
        by_tensor: whether each tensor was clipped for itself.
    """

    norm: float = 1.0
    by_tensor: bool = False

    def __call__(self, dummy: Gradient, shared: Gradient) -> Tensor:
        """Return the distance, a scalar >= 0."""
        if self.by_tensor:
            factors = {k: self._factor([dummy[k]], [shared[k]]) for k in shared}
        else:
            together = self._factor([dummy[k] for k in shared], list(shared.values()))
            factors = dict.fromkeys(shared, together)
        return self.base({k: factors[k] * dummy[k] for k in shared}, shared)

    def _factor(self, dummy: list[Tensor], shared: list[Tensor]) -> Tensor:
        size = torch.stack([(x**2).sum() for x in dummy]).sum()
        factor = self.norm / size.clamp(min=self.norm**2).sqrt()
        if isinstance(self.base, Wrapper | SignMatch):
            return factor
        seen = torch.stack([(x**2).sum() for x in shared]).sum().sqrt()
        # A little less, for a rounding after the clipping.
        return torch.where(seen < 0.99 * self.norm, torch.ones_like(factor), factor)


@dataclass(frozen=True)
class ScaledDistance(Wrapper):
    """Distance after the dummy gradient is multiplied by what the shared one was.

    Attributes:
        factor: by which the coordinates that were sent are larger than those of the gradient.
    """

    factor: float = 1.0

    def __call__(self, dummy: Gradient, shared: Gradient) -> Tensor:
        """Return the distance, a scalar >= 0."""
        return self.base({k: self.factor * dummy[k] for k in shared}, shared)


@dataclass(frozen=True)
class SignMatch(Objective):
    """Squares of what has the wrong sign, and of how far each tensor's mean magnitude is off.

    For uploads of signs times the mean magnitude of their tensor, which is the unit of both. Every
    gradient with the same signs and means explains the upload, and costs nothing.

    Attributes:
        weight: of the whole, against a prior.
    """

    weight: float = 1.0

    def __call__(self, dummy: Gradient, shared: Gradient) -> Tensor:
        """Return the distance, a scalar >= 0."""
        return self.weight * torch.stack([self._cost(dummy[k], shared[k]) for k in shared]).sum()

    def _cost(self, dummy: Tensor, shared: Tensor) -> Tensor:
        seen = shared.abs().mean()
        size = torch.where(seen > 0, seen, 1.0)
        wrong = (-dummy * shared.sign() / size).clamp(min=0)
        # Counted once for each coordinate, or it would drown in their number.
        off = dummy.abs().mean() / size - 1
        # What was not sent has neither signs nor a size.
        return torch.where(seen > 0, (wrong**2).sum() + dummy.numel() * off**2, 0.0)


@dataclass(frozen=True)
class RandomRoundingLikelihood(Objective):
    """Minus the log-likelihood under unbiased random rounding to evenly spaced levels.

    A coordinate x goes to the level v with the probability ``1 - |x - v| / step``, so that many
    small values that came out as zeros say how small they are. The step is read off each tensor:
    its largest magnitude over the number of levels, or the smallest difference of two magnitudes.

    So that there are derivatives everywhere, the distance is smoothed at zero, and the logarithm
    goes on as its expansion of second order where the probability is below `SMOOTHING`.

    Attributes:
        levels: how many there are up to a tensor's largest magnitude; None if that is none.
    """

    levels: int | None = None

    def __call__(self, dummy: Gradient, shared: Gradient) -> Tensor:
        """Return the distance, a scalar >= 0."""
        return torch.stack([self._cost(dummy[k], shared[k]) for k in shared]).sum()

    def _cost(self, dummy: Tensor, shared: Tensor) -> Tensor:
        steps = (dummy - shared) / self._step(shared)
        probability = 1 - (steps**2 + SMOOTHING**2).sqrt() + SMOOTHING
        below = (SMOOTHING - probability).clamp(min=0) / SMOOTHING
        return (below + below**2 / 2 - probability.clamp(min=SMOOTHING).log()).sum()

    def _step(self, shared: Tensor) -> Tensor:
        sizes = shared.abs().flatten()
        largest = sizes.max()
        if self.levels is None:
            gaps = torch.cat([sizes, sizes.new_zeros(1)]).sort().values.diff()
            # Values of one level may differ in their last digits.
            step = torch.where(gaps > 1e-5 * largest, gaps, math.inf).min().clamp(max=largest)
        else:
            step = largest / self.levels
        # Of a tensor that is all zeros the step is unknown; it then says nothing.
        return torch.where(largest > 0, step, math.inf)


SMOOTHING = 0.01
"""In steps, and as a probability."""
