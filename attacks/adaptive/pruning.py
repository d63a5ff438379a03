"""Countermeasures to magnitude pruning and Deep Gradient Compression."""

from dataclasses import dataclass, replace
from typing import ClassVar, Self

import torch
from torch import Tensor
from typing_extensions import override

from fedsim.attacks.adaptive.answer import Answer, Known
from fedsim.attacks.adaptive.base import Countermeasure
from fedsim.attacks.matching.objectives import Gradient, Wrapper
from fedsim.core.registry import COUNTERMEASURES


@dataclass(frozen=True)
class SurvivingDistance(Wrapper):
    """Distance over the coordinates that survived pruning: those that are not zero.

    A pruned coordinate only reveals that it was small. Matching the zeros too leads an attacker
    away from the data; ignoring them leaves exact equations, usually still more than unknowns.

    Attributes:
        floor: maximum magnitude of a coordinate that counts as pruned; above zero if noise was
            added after pruning and hides the zeros.
    """

    sets_zeros: ClassVar[bool] = True

    floor: float = 0.0

    @override
    def __call__(self, dummy: Gradient, shared: Gradient) -> Tensor:
        kept = {k: s.abs() > self.floor for k, s in shared.items()}
        return self.base(
            {k: torch.where(kept[k], dummy[k], 0.0) for k in shared},
            {k: torch.where(kept[k], shared[k], 0.0) for k in shared},
        )

    def above_noise(self, noise_std: float) -> Self:
        """Return the wrapper with pure-noise coordinates treated as pruned."""
        return replace(self, floor=max(self.floor, 3 * noise_std))


@COUNTERMEASURES.register("pruning")
class MatchSurvivors(Countermeasure):
    """Match only the coordinates that survived pruning.

    The upload's zeros identify the others, so even the fraction need not be known.
    """

    def answer(self, known: Known) -> Answer:
        """Return the comparison of the surviving coordinates."""
        return Answer((SurvivingDistance(),))


@COUNTERMEASURES.register("dgc")
class MatchSent(MatchSurvivors):
    """Match only the coordinates that were sent.

    Exact for a client's first upload; later uploads also contain withheld values of earlier
    gradients, which belong to other batches. The attacker does not count uploads, so that its
    answer is an approximation.
    """

    def answer(self, known: Known) -> Answer:
        """Return the comparison of the coordinates that were sent."""
        return replace(super().answer(known), approximate=True)
