"""Against uploads of part of the layers."""

from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor
from typing_extensions import override

from fedsim.attacks.adaptive.answer import Answer, Known
from fedsim.attacks.adaptive.base import Countermeasure
from fedsim.attacks.matching.objectives import Gradient, Wrapper
from fedsim.core.errors import AttackError
from fedsim.core.registry import COUNTERMEASURES


@dataclass(frozen=True)
class SharedLayersDistance(Wrapper):
    """Distance over the tensors that tell of the data: neither dropped nor drawn at random.

    A tensor that is zero throughout was not shared (a dropped layer). One behind a stochastic
    layer (dropout, a variational bottleneck) answers draws that the attacker does not have.

    Attributes:
        left_out: names of tensors to leave out, besides those that are all zero.
        floor: root mean square up to which a tensor counts as zero; above zero where noise was
            added to what was not shared.
    """

    left_out: frozenset[str] = frozenset()
    floor: float = 0.0

    @override
    def __call__(self, dummy: Gradient, shared: Gradient) -> Tensor:
        """Return the distance, a scalar >= 0.

        Raises:
            AttackError: all tensors are to be left out.
        """
        left = {k: s for k, s in shared.items() if k not in self.left_out}
        if not left:
            raise AttackError(
                f"no tensor of the gradient is left to compare: {sorted(self.left_out)} are all "
                "there are; leave out fewer"
            )
        sent = {k: (s**2).mean().sqrt() > self.floor for k, s in left.items()}
        return self.base(
            {k: torch.where(sent[k], dummy[k], 0.0) for k in left},
            {k: torch.where(sent[k], left[k], 0.0) for k in left},
        )

    def above_noise(self, noise_std: float) -> Self:
        """Return the wrapper with tensors that noise alone explains taken for dropped."""
        return replace(self, floor=max(self.floor, 1.5 * noise_std))


@COUNTERMEASURES.register("partial-upload")
class MatchSharedLayers(Countermeasure):
    """Match only the tensors that were sent.

    Those that were not are zero throughout, so their share need not even be known.
    """

    def answer(self, known: Known) -> Answer:
        """Return the comparison of the tensors that were sent."""
        return Answer((SharedLayersDistance(),))
