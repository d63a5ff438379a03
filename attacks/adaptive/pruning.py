"""Against magnitude pruning."""

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
    """Distance over the coordinates that pruning left: those that are not zero.

    A pruned coordinate says nothing of the data except that it was small. An attacker who
    matches the zeros too is led away from the data by them; one who leaves them out has
    exact equations, usually still more of them than unknowns.

    Attributes:
        floor: magnitude up to which a coordinate counts as pruned; above zero where noise was
            added after pruning, and hides the zeros.
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
        """Return the wrapper with what noise alone explains taken for pruned."""
        return replace(self, floor=max(self.floor, 3 * noise_std))


@COUNTERMEASURES.register("pruning")
class MatchSurvivors(Countermeasure):
    """Match only the coordinates that survived pruning.

    The zeros of the upload show which they are, so the fraction need not even be known.
    """

    def answer(self, known: Known) -> Answer:
        """Return the comparison of the surviving coordinates."""
        return Answer((SurvivingDistance(),))


@COUNTERMEASURES.register("dgc")
class MatchSent(MatchSurvivors):
    """Match only the coordinates that were sent.

    Exact for a client's first upload; later ones hold what was withheld of earlier gradients too,
    which are of other batches: there it is an approximation.
    """
