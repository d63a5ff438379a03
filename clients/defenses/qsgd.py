"""Quantisation with unbiased random rounding."""

import math
from collections.abc import Callable, Mapping
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from fedsim.clients.defenses.base import Defense, Protected
from fedsim.clients.defenses.tensors import floating, map_floating, rms_change
from fedsim.core.registry import DEFENSES

_SCALE_BYTES = 4


@DEFENSES.register("qsgd")
class QSGD(Defense):
    """Round each value at random to a multiple of its tensor's L2 norm over the levels.

    A value between two multiples of |x| / levels is rounded to one of them at random, so that its
    mean does not change. Source: Alistarh et al., QSGD, NeurIPS 2017 (arXiv 1610.02132), section
    3.1. Each tensor is one bucket. A value takes ceil(log2(2 levels + 1)) bits or is omitted as a
    zero, instead of the paper's Elias code.
    """

    levels: Annotated[
        int,
        Field(
            ge=1,
            le=2**15,
            examples=[64],
            description="number of positive levels, up to the L2 norm of a tensor",
        ),
    ]

    def protect_upload(self, upload: Mapping[str, Tensor], generator: torch.Generator) -> Protected:
        """Quantise; reports ``rounding_rms``, the root mean square of the change.

        A tensor with a NaN or an infinity has no norm and becomes NaN throughout.
        """
        return _quantise(upload, self.levels, lambda x: x.norm(), generator)


@DEFENSES.register("stochastic-quantisation")
class StochasticQuantisation(Defense):
    """Round each value at random to one of the levels up to its tensor's largest magnitude.

    The levels are the multiples -m ... m of max|x| / m, with m = 2^(bits - 1) - 1, and a value
    between two of them is rounded to one at random, so that its mean does not change. Source:
    Suresh et al., Distributed Mean Estimation with Limited Communication, ICML 2017
    (arXiv 1611.00429), section 2.2, where the levels lie between minimum and maximum. Here they are
    symmetric, and two bits give TernGrad (Wen et al., NeurIPS 2017, arXiv 1705.07878).
    """

    bits: Annotated[int, Field(ge=2, le=8, examples=[4], description="bits that one value takes")]

    def protect_upload(self, upload: Mapping[str, Tensor], generator: torch.Generator) -> Protected:
        """Quantise; reports ``rounding_rms``, the root mean square of the change.

        A tensor with a NaN or an infinity has no largest value and becomes NaN throughout.
        """
        return _quantise(upload, 2 ** (self.bits - 1) - 1, lambda x: x.abs().max(), generator)


def _quantise(
    upload: Mapping[str, Tensor],
    levels: int,
    size_of: Callable[[Tensor], Tensor],
    generator: torch.Generator,
) -> Protected:
    """Round at random to multiples of ``size_of(tensor) / levels``."""

    def quantised(x: Tensor) -> Tensor:
        # In float64, so that the step of a tensor of tiny values is not rounded to zero.
        wide = x.double()
        size = size_of(wide)
        if not size.isfinite():
            return torch.full_like(x, torch.nan)
        if size == 0:
            return torch.zeros_like(x)
        draws = torch.rand(
            x.shape, dtype=torch.float64, generator=generator, device=generator.device
        )
        level = (wide * (levels / size) + draws.to(x.device)).floor()
        # By rounding, the largest value may be slightly above the last level.
        return (level.clamp(-levels, levels) * (size / levels)).to(x.dtype)

    tensors = map_floating(upload, quantised)
    return Protected(
        tensors,
        value_bits=math.ceil(math.log2(2 * levels + 1)),
        overhead_bytes=_SCALE_BYTES * len(floating(upload)),
        did=rms_change("rounding_rms", upload, tensors),
    )
