"""Countermeasures to rounding to fewer bits."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor
from typing_extensions import override

from fedsim.attacks.adaptive.answer import Answer, Known
from fedsim.attacks.adaptive.base import Countermeasure
from fedsim.attacks.matching.calibration import FEWEST
from fedsim.attacks.matching.objectives import Gradient, Objective, inner_product, total
from fedsim.core.checked import checked
from fedsim.core.registry import COUNTERMEASURES

Format = Literal["fp16", "bfloat16", "int8"]

SPREAD: dict[Format, float] = {"fp16": 2e-4, "bfloat16": 1.6e-3, "int8": 1e-2}
"""Spreads in units of the gradient's rms, measured with LeNet on clothes and photographs."""

SHARE = 0.5
"""From simulated attacks on public images. With the whole interval the search ends at its edge."""

OUTSIDE, FEW = 0.1, 1e-3
"""Distance from the rounding interval, in half spacings, that the arithmetic does not explain, and
share of the coordinates that may have it: values near zero are known to few digits."""

LEAST_ERROR = 0.2
"""Least median error, in half spacings, of the format that was really used."""


@dataclass(frozen=True)
class RoundingTolerance(Objective):
    """Squared distance beyond the rounding error, in units of the local rounding interval.

    Every gradient that rounds to the upload explains it, so a coordinate costs nothing within half
    the spacing of the format around the shared value. Beyond this, the excess counts relative to
    the half spacing: in a floating-point format small values are known more precisely than large
    ones. A tenth of the mean over all coordinates is added to the square of this unit, otherwise
    the smallest would dominate. At a power of two, where the spacing halves below the value, the
    wider spacing is used on both sides; a value at the end of fp16's range may represent any value
    beyond it.

    Attributes:
        format: the format of the upload: a binary floating-point format, or the multiples of
            max|x| / 127 of each tensor.
        unit: gradient units per unit of the upload.
        share: share of the half spacing without cost. If below 1, the search continues towards the
            middle of the interval.
    """

    format: Format
    unit: float = 1.0
    share: float = 1.0

    @override
    def __call__(self, dummy: Gradient, shared: Gradient) -> Tensor:
        half = {k: self._half_spacing(s) for k, s in shared.items()}
        mean = inner_product(half, half, shared) / sum(s.numel() for s in shared.values())
        coarse = (0.1 * mean).clamp(min=torch.finfo(mean.dtype).eps ** 2)

        def cost(k: str) -> Tensor:
            low, high = self._bounds(shared[k], self.share * half[k])
            return (dummy[k] - dummy[k].clamp(low, high)) ** 2 / (half[k] ** 2 + coarse)

        return total(cost, shared)

    @override
    def explains(self, dummy: Gradient, shared: Gradient, rounding: float) -> bool:
        """Return whether the gradient rounds to the upload, with errors of the expected size."""
        errors, outside, count = [], 0, 0
        for k, s in shared.items():
            half = self._half_spacing(s)
            low, high = self._bounds(s, half)
            share = (dummy[k] - dummy[k].clamp(low, high)).abs() / half
            outside += int((share > OUTSIDE).sum())
            count += s.numel()
            errors.append(((dummy[k] - s).abs() / half)[s != 0])
        error = torch.cat(errors)
        # A rounding error is uniform in its interval, so half of the interval on average.
        uniform = len(error) < FEWEST or LEAST_ERROR <= float(error.median()) <= 1 - LEAST_ERROR
        return outside <= FEW * count and uniform

    def _half_spacing(self, x: Tensor) -> Tensor:
        """Return half the distance to the next value of the format, in the shape of ``x``."""
        if self.format == "int8":
            # Slightly more, for the rounding of float32.
            return (x.abs().max() / 254 * (1 + 1e-4)).expand(x.shape)
        limits = self._limits()
        # Slightly more, so that rounding in the division does not move a power of two below itself.
        size = (x / self.unit).abs() * (1 + 1e-6)
        binade = torch.frexp(size.clamp(min=limits.smallest_normal)).exponent - 1
        return torch.ldexp(torch.full_like(x, limits.eps / 2 * self.unit), binade)

    def _bounds(self, x: Tensor, tolerance: Tensor) -> tuple[Tensor, Tensor]:
        low, high = x - tolerance, x + tolerance
        if self.format == "int8":
            return low, high
        limit = self._limits().max * self.unit
        return torch.where(x <= -limit, -torch.inf, low), torch.where(x >= limit, torch.inf, high)

    def _limits(self) -> torch.finfo:
        return torch.finfo(torch.float16 if self.format == "fp16" else torch.bfloat16)


@checked
class _AllowForRounding(Countermeasure):
    format: ClassVar[Format]

    def answer(self, known: Known) -> Answer:
        """Return an objective that is flat within the rounding error."""
        return Answer(
            likelihood=RoundingTolerance(self.format, known.unit, SHARE),
            spread=SPREAD[self.format] * known.gradient_rms,
        )


@COUNTERMEASURES.register("fp16")
class AllowForFp16(_AllowForRounding):
    """Accept gradients that round to the upload in IEEE half precision."""

    format = "fp16"


@COUNTERMEASURES.register("bfloat16")
class AllowForBfloat16(_AllowForRounding):
    """Accept gradients that round to the upload in bfloat16."""

    format = "bfloat16"


@COUNTERMEASURES.register("int8")
class AllowForInt8(_AllowForRounding):
    """Accept gradients that round to the upload at 255 levels."""

    format = "int8"
