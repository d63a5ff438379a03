"""Countermeasures to unbiased random rounding."""

import math
from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor
from typing_extensions import override

from fedsim.attacks.adaptive.answer import Answer, Known
from fedsim.attacks.adaptive.base import Countermeasure
from fedsim.attacks.matching.calibration import plausible_variance
from fedsim.attacks.matching.objectives import Gradient, Objective
from fedsim.core.registry import COUNTERMEASURES

SMOOTHING = 0.01
"""Width of the smoothing, in steps, and minimum probability."""

NOISE_STD = 0.01
"""Noise level for image priors. The step is unknown before the upload; four or twenty times as much
loses about 1 dB."""

OVER = 1e-3
"""Excess over one step that the arithmetic explains."""

NORM = 20.0
"""A tensor's norm over `_SHARE`, and its largest magnitude, in units of the gradient's root mean
square; the measured spreads of LeNet are 17 to 23 and 1.2 to 1.7 over the levels."""
LARGEST = 1.5

MOST = 0.8
"""Maximum spread, in units of the gradient's root mean square: coarser levels still reveal as much
as signs."""


@dataclass(frozen=True)
class RandomRoundingLikelihood(Objective):
    """Minus the log-likelihood under unbiased random rounding to evenly spaced levels.

    A coordinate x is rounded to the level v with the probability ``1 - |x - v| / step``, so many
    small values rounded to zero reveal how small they are. The step is read off each tensor:
    its largest magnitude over the number of levels, or the smallest difference of two magnitudes.

    For derivatives to exist everywhere, the distance is smoothed at zero, and the logarithm is
    replaced by its second-order expansion where the probability is below `SMOOTHING`.

    Attributes:
        levels: number of levels up to a tensor's largest magnitude; None if that is not a level.
    """

    levels: int | None = None

    @override
    def __call__(self, dummy: Gradient, shared: Gradient) -> Tensor:
        return torch.stack([self._cost(dummy[k], shared[k]) for k in shared]).sum()

    @override
    def explains(self, dummy: Gradient, shared: Gradient, rounding: float) -> bool:
        """Return whether the levels are neighbours of the gradient, as often as predicted."""
        squares, variances, fourth = [], [], []
        for k, s in shared.items():
            step = self._step(s)
            if not torch.isfinite(step):  # nothing was sent
                continue
            error = ((dummy[k] - s) / step).flatten()
            if (error.abs() > 1 + OVER).any():
                return False
            up = (dummy[k] / step).flatten().frac().abs()
            squares.append(error**2)
            variances.append(up * (1 - up))
            fourth.append(up * (1 - up) ** 4 + (1 - up) * up**4)
        if not squares:
            return True
        return plausible_variance(torch.cat(squares), torch.cat(variances), torch.cat(fourth))

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
            # Values of the same level may differ in their last digits.
            step = torch.where(gaps > 1e-5 * largest, gaps, math.inf).min().clamp(max=largest)
        else:
            step = largest / self.levels
        # The step of an all-zero tensor is unknown; it holds no information.
        return torch.where(largest > 0, step, math.inf)


@COUNTERMEASURES.register("qsgd")
class ExpectQSGD(Countermeasure):
    """Use the probability of each level together with an image prior."""

    levels: Annotated[
        int, Field(ge=1, description="number of positive levels, up to a tensor's norm")
    ]

    def answer(self, known: Known) -> Answer:
        """Return the likelihood of levels, with a step read off the upload."""
        return _random_rounding(RandomRoundingLikelihood(), NORM / self.levels, known)


@COUNTERMEASURES.register("stochastic-quantisation")
class ExpectStochasticQuantisation(Countermeasure):
    """Use the probability of each level together with an image prior."""

    bits: Annotated[int, Field(ge=2, description="bits that one value takes")]

    def answer(self, known: Known) -> Answer:
        """Return the likelihood of levels up to a tensor's largest magnitude."""
        levels = int(2 ** (self.bits - 1)) - 1
        return _random_rounding(RandomRoundingLikelihood(levels), LARGEST / levels, known)


def _random_rounding(likelihood: Objective, spread: float, known: Known) -> Answer:
    return Answer(
        likelihood=likelihood,
        spread=min(spread, MOST) * known.gradient_rms,
        image_noise_std=NOISE_STD,
        reads_levels=True,
    )
