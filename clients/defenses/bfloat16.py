"""The brain floating-point format."""

from collections.abc import Mapping

import torch
from torch import Tensor

from fedsim.clients.defenses.base import Defense, Protected
from fedsim.clients.defenses.rounding import round_to
from fedsim.core.registry import DEFENSES


@DEFENSES.register("bfloat16")
class Bfloat16(Defense):
    """Round each value to bfloat16 (8 significant bits, the range of float32).

    Source: Zhu, Liu and Han, Deep Leakage from Gradients, NeurIPS 2019, section 5.
    """

    def protect_upload(self, upload: Mapping[str, Tensor], generator: torch.Generator) -> Protected:
        """Round to bfloat16 and back; a finite value beyond the largest one becomes the largest."""
        return round_to(upload, torch.bfloat16)
