"""Countermeasures to magnitude pruning and Deep Gradient Compression."""

from dataclasses import dataclass, replace
from typing import Annotated, ClassVar, Self

import torch
from pydantic import Field
from torch import Tensor
from typing_extensions import override

from fedsim.attacks.adaptive.answer import Answer, Known
from fedsim.attacks.adaptive.base import Countermeasure
from fedsim.attacks.matching.objectives import Gradient, Wrapper
from fedsim.attacks.matching.processing import KeepLargest
from fedsim.attacks.matching.rounds import by_round, joined
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

    floor: float = 0.0

    @property
    def pruned_up_to(self) -> float:
        """The floor."""
        return self.floor

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


@dataclass(frozen=True)
class AccumulatedDistance(SurvivingDistance):
    """Distance over the sent coordinates of all uploads of a client, with withheld values.

    In each round the client adds its gradient to the momentum, and that to the values that it has
    withheld; what it sends is no longer withheld, and loses its momentum. The zeros of the uploads
    show what was sent, so that every upload is a linear function of the gradients of this round and
    the earlier ones, each at its own weights. Source: Lin et al., Deep Gradient Compression, ICLR
    2018 (arXiv 1712.01887), sections 3.1 and 3.2 and algorithm 4.

    Attributes:
        momentum: momentum of the client.
    """

    joins_rounds: ClassVar[bool] = True

    momentum: float = 0.0

    @override
    def __call__(self, dummy: Gradient, shared: Gradient) -> Tensor:
        rounds = list(zip(by_round(dummy), by_round(shared), strict=True))
        velocity = {k: torch.zeros_like(s) for k, s in rounds[0][1].items()}
        withheld, waiting = dict(velocity), []
        for gradient, upload in rounds:
            pruned = {k: s.abs() <= self.floor for k, s in upload.items()}
            velocity = {k: self.momentum * v + gradient[k] for k, v in velocity.items()}
            waiting.append({k: withheld[k] + v for k, v in velocity.items()})
            velocity = {k: torch.where(pruned[k], v, 0.0) for k, v in velocity.items()}
            withheld = {k: torch.where(pruned[k], w, 0.0) for k, w in waiting[-1].items()}
        single = dummy.keys() == rounds[0][0].keys()
        return super().__call__(waiting[0] if single else joined(waiting), shared)


@COUNTERMEASURES.register("pruning")
class MatchSurvivors(Countermeasure):
    """Match only the coordinates that survived pruning.

    The upload's zeros identify the others, so the fraction matters only in a sum, of which each
    coordinate has survived at an unknown number of clients: there the dummies of each client are
    pruned alike.
    """

    fraction: Annotated[
        float, Field(ge=0, le=1, description="share of each tensor's coordinates set to zero")
    ]

    def answer(self, known: Known) -> Answer:
        """Return the comparison of the surviving coordinates."""
        return Answer((SurvivingDistance(),), per_upload=(KeepLargest(self.fraction),))


@COUNTERMEASURES.register("dgc")
class MatchSent(MatchSurvivors):
    """Match only the coordinates that were sent.

    Later uploads also contain values that the client withheld earlier. An attacker with all uploads
    of a client that repeats its batch follows them exactly, upload by upload. For one upload that
    may not be the first, which withheld values of other batches change, it is an approximation.
    """

    momentum: Annotated[float, Field(ge=0, lt=1, description="momentum of the training")] = 0.0

    @override
    def answer(self, known: Known) -> Answer:
        """Return the comparison of the coordinates that were sent."""
        found = super().answer(known)
        if known.uploads is None:
            return replace(found, approximate=True)
        return replace(found, wrappers=(AccumulatedDistance(momentum=self.momentum),))
