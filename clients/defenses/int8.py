"""Quantisation to eight bits."""

from collections.abc import Mapping

import torch
from torch import Tensor

from fedsim.clients.defenses.base import Defense, Protected
from fedsim.clients.defenses.tensors import floating, map_floating, rms_change
from fedsim.core.registry import DEFENSES

_LEVELS = 127
_SCALE_BYTES = 4


@DEFENSES.register("int8")
class Int8(Defense):
    """Quantise each tensor to 255 evenly spaced levels around zero.

    Symmetric and linear: the levels are the multiples -127 ... 127 of max|x| / 127, and a value
    is rounded to the nearest. Source: Zhu, Liu and Han, Deep Leakage from Gradients, NeurIPS 2019,
    section 5.
    """

    def protect_upload(self, upload: Mapping[str, Tensor], generator: torch.Generator) -> Protected:
        """Quantise and restore; reports ``rounding_rms``, the root mean square of the change.

        A tensor that holds a NaN or an infinity has no scale and becomes NaN throughout.
        """
        tensors = map_floating(upload, _quantised)
        return Protected(
            tensors,
            value_bits=8,
            overhead_bytes=_SCALE_BYTES * len(floating(upload)),
            did=rms_change("rounding_rms", upload, tensors),
        )


def _quantised(x: Tensor) -> Tensor:
    # In float64, so that the scale of a tensor of tiny values is not rounded to zero.
    wide = x.double()
    scale = wide.abs().max() / _LEVELS
    if scale == 0:
        return torch.zeros_like(x)
    return ((wide / scale).round() * scale).to(x.dtype)
