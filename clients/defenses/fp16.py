"""IEEE half precision."""

from collections.abc import Mapping

import torch
from torch import Tensor

from fedsim.clients.defenses.base import Defense, Protected
from fedsim.clients.defenses.rounding import round_to
from fedsim.core.registry import DEFENSES


@DEFENSES.register("fp16")
class Fp16(Defense):
    """Round each value to IEEE half precision (11 significant bits, at most 65504).

    Source: Zhu, Liu and Han, Deep Leakage from Gradients, NeurIPS 2019, section 5.
    """

    def protect_upload(self, upload: Mapping[str, Tensor], generator: torch.Generator) -> Protected:
        """Round to half precision and back; a finite value beyond 65504 becomes 65504."""
        return round_to(upload, torch.float16)
