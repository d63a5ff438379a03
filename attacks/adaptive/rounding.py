"""Against rounding to fewer bits."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor
from typing_extensions import override

from fedsim.attacks.adaptive.answer import Answer, Known
from fedsim.attacks.adaptive.base import Countermeasure
from fedsim.attacks.matching.objectives import Gradient, Objective, inner_product, total
from fedsim.core.checked import checked
from fedsim.core.registry import COUNTERMEASURES

Format = Literal["fp16", "bfloat16", "int8"]

SPREAD: dict[Format, float] = {"fp16": 2e-4, "bfloat16": 1.6e-3, "int8": 1e-2}
"""In units of the gradient's root mean square; measured on clothes and photographs, LeNet."""

SHARE = 0.5
"""By simulated attacks on public images. With the whole interval the search ends at its edge."""


@dataclass(frozen=True)
class RoundingTolerance(Objective):
    """Squared distance beyond what rounding explains, in units of how coarse it is there.

    Every gradient that rounds to the upload explains it, so a coordinate costs nothing within
    half the spacing of the format around the shared value. Beyond, the excess counts relative
    to that half: of a floating-point format's values the small ones are known more precisely
    than the large ones. A tenth of the mean over all coordinates is added to the square of that
    unit, or the smallest would decide alone. At a power of two, where the spacing halves below
    the value, the wider one counts on both sides; a value at the end of fp16's range may stand
    for any beyond it.

    Attributes:
        format: what the upload was rounded to: a binary floating-point format, or the multiples
            of max|x| / 127 of each tensor.
        unit: what one unit of the upload is in the gradient.
        share: of the half spacing that costs nothing. With less than all of it the search goes
            on towards the middle of what explains the upload.
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

    def _half_spacing(self, x: Tensor) -> Tensor:
        """Return half the distance to the next value of the format, in the shape of ``x``."""
        if self.format == "int8":
            # A little more, for what float32 rounds by itself.
            return (x.abs().max() / 254 * (1 + 1e-4)).expand(x.shape)
        limits = self._limits()
        # A little more, lest a power of two falls below itself in the division.
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
        """Return an objective that is flat where rounding is to blame."""
        return Answer(
            likelihood=RoundingTolerance(self.format, known.unit, SHARE),
            spread=SPREAD[self.format] * known.gradient_rms,
        )


@COUNTERMEASURES.register("fp16")
class AllowForFp16(_AllowForRounding):
    """Accept what rounds to the upload in IEEE half precision."""

    format = "fp16"


@COUNTERMEASURES.register("bfloat16")
class AllowForBfloat16(_AllowForRounding):
    """Accept what rounds to the upload in bfloat16."""

    format = "bfloat16"


@COUNTERMEASURES.register("int8")
class AllowForInt8(_AllowForRounding):
    """Accept what rounds to the upload at 255 levels."""

    format = "int8"
