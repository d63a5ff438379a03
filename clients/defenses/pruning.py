"""Magnitude pruning."""

import math
from collections.abc import Mapping
from typing import Annotated, ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from fedsim.clients.defenses.base import Defense, Protected
from fedsim.clients.defenses.tensors import kept_fraction, map_floating
from fedsim.core.registry import DEFENSES
from fedsim.core.vectors import share_of


@DEFENSES.register("pruning")
class Pruning(Defense):
    """Set the smallest values of each tensor to zero and keep the largest.

    In each tensor of n coordinates the floor(fraction * n) smallest magnitudes are pruned; among
    equal ones the first. Pruned values are dropped, not accumulated for later rounds as in Deep
    Gradient Compression (arXiv 1712.01887). Source: Zhu, Liu and Han, Deep Leakage
    from Gradients, NeurIPS 2019, section 5.
    """

    identity: ClassVar[Mapping[str, object] | None] = {"fraction": 0.0}

    fraction: Annotated[
        float,
        Field(
            ge=0,
            le=1,
            examples=[0.5],
            description="share of each tensor's coordinates that is set to zero",
        ),
    ]

    def protect_upload(self, upload: Mapping[str, Tensor], generator: torch.Generator) -> Protected:
        """Prune; reports ``kept_fraction``, the share of coordinates that are then not zero."""
        tensors = map_floating(upload, self._pruned)
        return Protected(tensors, did=kept_fraction(tensors))

    def _pruned(self, x: Tensor) -> Tensor:
        count = share_of(self.fraction, x.numel())
        if not count:
            return x.clone()
        # NaN, of a training that diverged, is less than nothing and would keep all that is left.
        sizes = x.detach().abs().flatten().cpu().nan_to_num(math.inf, math.inf)
        # For a few thousand numbers NumPy is several times as fast, but it has no bfloat16.
        values = (sizes.float() if sizes.dtype == torch.bfloat16 else sizes).numpy()
        largest = np.partition(values, count - 1)[count - 1]
        gone = values < largest
        equal = np.flatnonzero(values == largest)  # of which the first go
        gone[equal[: count - int(gone.sum())]] = True
        return x.flatten().masked_fill(torch.from_numpy(gone).to(x.device), 0.0).reshape(x.shape)
