"""Against random sparsification."""

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
    """Distance after the dummy gradient is multiplied by what the shared one was.

    Attributes:
        factor: by which the coordinates that were sent are larger than those of the gradient.
    """

    factor: float = 1.0

    @override
    def __call__(self, dummy: Gradient, shared: Gradient) -> Tensor:
        return self.base({k: self.factor * dummy[k] for k in shared}, shared)


@COUNTERMEASURES.register("random-sparsification")
class MatchSample(Countermeasure):
    """Match only the coordinates that were sent, at the scale at which they were.

    The zeros of the upload show which they are.
    """

    fraction: Annotated[float, Field(ge=0, lt=1, description="share that is set to zero")]
    unbiased: Annotated[bool, Field(description="whether the others are scaled up")]

    def answer(self, known: Known) -> Answer:
        """Return the comparison of the coordinates that were sent."""
        if not self.unbiased:
            return Answer((SurvivingDistance(),))
        factor = 1 / (1 - self.fraction)
        return Answer((SurvivingDistance(), ScaledDistance(factor=factor)), gain=factor)
