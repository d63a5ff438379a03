"""Against random sparsification."""

from collections.abc import Mapping
from dataclasses import replace

from torch import Tensor

from fedsim.attacks.adaptive.base import Countermeasure, number
from fedsim.attacks.adaptive.objectives import ScaledDistance
from fedsim.attacks.matching.attack import GradientMatching
from fedsim.attacks.matching.objectives import SurvivingDistance, with_innermost_wrapper
from fedsim.core.registry import COUNTERMEASURES


@COUNTERMEASURES.register("random-sparsification")
class MatchSample(Countermeasure):
    """Match only the coordinates that were sent, at the scale at which they were.

    The zeros of the upload show which they are.
    """

    def adapt(
        self,
        attack: GradientMatching,
        parameters: Mapping[str, object],
        public: Tensor | None = None,
        unit: float = 1.0,
    ) -> GradientMatching:
        """Return the attack with its objective over the coordinates that were sent."""
        wrapper = SurvivingDistance()
        objective = with_innermost_wrapper(attack.objective, wrapper)
        fraction = number(parameters, "fraction")
        if parameters.get("unbiased") is True:
            scale = ScaledDistance(factor=1 / (1 - fraction))
            objective = with_innermost_wrapper(objective, scale)
        return replace(attack, objective=objective)
