"""Objectives of an attacker who knows what was done to the gradient, and does it to the dummy."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from fedsim.attacks.matching.objectives import Gradient, Objective, SquaredDistance, Wrapper

SMOOTHING = 0.01
"""In steps, and as a probability."""

TOWARDS_CLIPPED = 0.1
"""By simulated attacks. With ten times as much the search is lost where the bound is small."""


@dataclass(frozen=True)
class ClippedDistance(Wrapper):
    """Distance after the dummy gradient is clipped as the shared one was.

    Beyond the bound only the direction counts, below it the length does too. Two things make use
    of more than directions, without which a search for labels may end in a wrong one. Both vanish
    at a match, and are left out where they do not hold: something else followed the clipping.

    - An upload shorter than the bound was not clipped, and then the dummy is not either.
    - Compared squares are joined by those of the distance to the nearest gradient that clips to the
      upload, `TOWARDS_CLIPPED` of them in units of the upload's own square. They lead on where
      the dummy points away from the upload, so that no direction nearby is better.

    Attributes:
        norm: largest L2 norm, in the unit of the gradient.
        by_tensor: whether each tensor was clipped for itself.
    """

    norm: float = 1.0
    by_tensor: bool = False

    def __call__(self, dummy: Gradient, shared: Gradient) -> Tensor:
        """Return the distance, a scalar >= 0."""
        groups = [[k] for k in shared] if self.by_tensor else [list(shared)]
        parts = [self._clip(dummy, shared, names) for names in groups]
        clipped = {k: x for part, _ in parts for k, x in part.items()}
        total = self.base(clipped, shared)
        if self.base == SquaredDistance():
            total = total + torch.stack([distance for _, distance in parts]).sum()
        return total

    def _clip(
        self, dummy: Gradient, shared: Gradient, names: list[str]
    ) -> tuple[dict[str, Tensor], Tensor]:
        """Return the clipped dummy tensors, and how far they were from any that clip to these."""
        factor = self.norm / _product(dummy, dummy, names).clamp(min=self.norm**2).sqrt()
        seen = _product(shared, shared, names)
        shorter = torch.zeros_like(seen, dtype=torch.bool)
        if not isinstance(self.base, Wrapper | SignMatch):
            # A little shorter, for a rounding after the clipping.
            shorter = seen < (0.99 * self.norm) ** 2
        factor = torch.where(shorter, 1.0, factor)
        tiny = torch.finfo(seen.dtype).tiny
        length = (_product(dummy, shared, names) / seen.clamp(min=tiny)).clamp(min=1)
        length = torch.where(shorter, 1.0, length)
        away = {k: dummy[k] - length * shared[k] for k in names}
        distance = TOWARDS_CLIPPED * seen * _product(away, away, names)
        return {k: factor * dummy[k] for k in names}, distance


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
        plus: whether a positive sign is one; not where values were set to zero before, which count
            as positive.
    """

    weight: float = 1.0
    plus: bool = True

    def __call__(self, dummy: Gradient, shared: Gradient) -> Tensor:
        """Return the distance, a scalar >= 0."""
        return self.weight * torch.stack([self._cost(dummy[k], shared[k]) for k in shared]).sum()

    def _cost(self, dummy: Tensor, shared: Tensor) -> Tensor:
        seen = shared.abs().mean()
        size = torch.where(seen > 0, seen, 1.0)
        signs = shared.sign() if self.plus else shared.sign().clamp(max=0)
        wrong = (-dummy * signs / size).clamp(min=0)
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


def _product(one: Gradient, other: Gradient, names: list[str]) -> Tensor:
    return torch.stack([(one[k] * other[k]).sum() for k in names]).sum()
