"""Countermeasure to random sparsification."""

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field
from torch import Tensor
from typing_extensions import override

from fedsim.attacks.adaptive.answer import Answer, Known
from fedsim.attacks.adaptive.base import Countermeasure
from fedsim.attacks.adaptive.pruning import SurvivingDistance
from fedsim.attacks.matching.objectives import Gradient, Wrapper
from fedsim.core.registry import COUNTERMEASURES


@dataclass(frozen=True)
class ScaledDistance(Wrapper):
    """Distance after scaling the dummy gradient like the shared one.

    Attributes:
        factor: ratio of the sent coordinates to those of the gradient.
    """

    factor: float = 1.0

    @override
    def __call__(self, dummy: Gradient, shared: Gradient) -> Tensor:
        return self.base({k: self.factor * dummy[k] for k in shared}, shared)


@COUNTERMEASURES.register("random-sparsification")
class MatchSample(Countermeasure):
    """Match only the coordinates that were sent, at their scale.

    The upload's zeros identify the others.
    """

    fraction: Annotated[
        float, Field(ge=0, lt=1, description="share of the coordinates set to zero")
    ]
    unbiased: Annotated[bool, Field(description="whether the other coordinates are scaled up")]

    def answer(self, known: Known) -> Answer:
        """Return the comparison of the coordinates that were sent."""
        if not self.unbiased:
            return Answer((SurvivingDistance(),))
        factor = 1 / (1 - self.fraction)
        return Answer((SurvivingDistance(), ScaledDistance(factor=factor)), gain=factor)
