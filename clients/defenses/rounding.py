"""Rounding to a shorter floating-point format, shared by several defenses."""

from collections.abc import Mapping

import torch
from torch import Tensor

from fedsim.clients.defenses.base import Protected
from fedsim.clients.defenses.tensors import floating, map_floating, rms_change


def round_to(upload: Mapping[str, Tensor], dtype: torch.dtype) -> Protected:
    """Round an upload to the nearest values of ``dtype`` and back.

    A finite value beyond the largest of ``dtype`` becomes the largest; NaN and infinity do not
    change. Reports ``rounding_rms``, the root mean square of the change, and ``saturated``, the
    number of values beyond the largest.
    """
    limits = torch.finfo(dtype)

    def rounded(x: Tensor) -> Tensor:
        # The limit of the other format may not be representable in a 16-bit upload.
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        held = torch.where(wide.isfinite(), wide.clamp(-limits.max, limits.max), wide)
        return held.to(dtype).to(x.dtype)

    tensors = map_floating(upload, rounded)
    saturated = sum(
        int((x.isfinite() & (x.double().abs() > limits.max)).sum())
        for x in floating(upload).values()
    )
    return Protected(
        tensors,
        value_bits=limits.bits,
        did={**rms_change("rounding_rms", upload, tensors), "saturated": float(saturated)},
    )
