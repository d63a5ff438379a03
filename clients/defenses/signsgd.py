"""signSGD: one bit for each value."""

from collections.abc import Mapping

import torch
from torch import Tensor

from fedsim.clients.defenses.base import Defense, Protected
from fedsim.clients.defenses.tensors import floating, map_floating, rms_change
from fedsim.core.registry import DEFENSES

_SCALE_BYTES = 4


@DEFENSES.register("signsgd")
class SignSGD(Defense):
    """Send the sign of each value, times the mean magnitude of its tensor.

    Source: Bernstein et al., signSGD, ICML 2018 (arXiv 1802.04434), algorithm 1, which sends only
    signs. The scale |x|_1 / n is from Karimireddy et al., Error Feedback Fixes SignSGD, ICML
    2019 (arXiv 1901.09847), algorithm 1, but per tensor instead of for the whole gradient, and
    without error feedback. Zero counts as positive, because one bit has only two signs.
    """

    def protect_upload(self, upload: Mapping[str, Tensor], generator: torch.Generator) -> Protected:
        """Take the signs; reports ``rounding_rms``, the root mean square of the change.

        A tensor with a NaN or an infinity has no mean magnitude and becomes NaN throughout.
        """
        tensors = map_floating(upload, _signs)
        return Protected(
            tensors,
            value_bits=1,
            overhead_bytes=_SCALE_BYTES * len(floating(upload)),
            did=rms_change("rounding_rms", upload, tensors),
        )


def _signs(x: Tensor) -> Tensor:
    size = x.double().abs().mean()
    if not size.isfinite():
        return torch.full_like(x, torch.nan)
    return torch.where(x < 0, -size, size).to(x.dtype)
