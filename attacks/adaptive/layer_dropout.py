"""Countermeasure to partial uploads."""

from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor
from typing_extensions import override

from fedsim.attacks.adaptive.answer import Answer, Known
from fedsim.attacks.adaptive.base import Countermeasure
from fedsim.attacks.matching.objectives import Gradient, Wrapper
from fedsim.core.registry import COUNTERMEASURES


@dataclass(frozen=True)
class SharedLayersDistance(Wrapper):
    """Distance over the tensors that were sent.

    A tensor that is zero throughout was not shared (a dropped layer).

    Attributes:
        floor: maximum root mean square of a tensor that counts as zero; above zero if noise was
            added to dropped tensors.
    """

    floor: float = 0.0

    @override
    def __call__(self, dummy: Gradient, shared: Gradient) -> Tensor:
        sent = {k: (s**2).mean().sqrt() > self.floor for k, s in shared.items()}
        return self.base(
            {k: torch.where(sent[k], dummy[k], 0.0) for k in shared},
            {k: torch.where(sent[k], shared[k], 0.0) for k in shared},
        )

    def above_noise(self, noise_std: float) -> Self:
        """Return the wrapper with pure-noise tensors treated as dropped."""
        return replace(self, floor=max(self.floor, 1.5 * noise_std))


@COUNTERMEASURES.register("partial-upload")
class MatchSharedLayers(Countermeasure):
    """Match only the tensors that were sent.

    The others are zero throughout, so even the fraction need not be known.
    """

    def answer(self, known: Known) -> Answer:
        """Return the comparison of the tensors that were sent."""
        return Answer((SharedLayersDistance(),))
