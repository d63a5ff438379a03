"""Against unbiased random rounding."""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import replace

from torch import Tensor

from fedsim.attacks.adaptive.base import Countermeasure, number
from fedsim.attacks.adaptive.noise import with_image_priors
from fedsim.attacks.adaptive.objectives import RandomRoundingLikelihood, SignMatch
from fedsim.attacks.matching.attack import GradientMatching
from fedsim.attacks.matching.objectives import (
    GaussianLikelihood,
    LaplacianLikelihood,
    innermost,
    with_innermost,
)
from fedsim.core.registry import COUNTERMEASURES

NOISE_STD = 0.01
"""For `image_priors`. The step is not known before there is an upload; four times as much, or
twenty times, loses about 1 dB."""


class _ExpectRandomRounding(Countermeasure):
    def adapt(
        self,
        attack: GradientMatching,
        parameters: Mapping[str, object],
        public: Tensor | None = None,
        unit: float = 1.0,
    ) -> GradientMatching:
        """Return the attack that looks for the most probable image.

        As it was after noise, which moves values across levels, and after signs, whose size it
        leaves alone.
        """
        known = GaussianLikelihood | LaplacianLikelihood | SignMatch
        if isinstance(innermost(attack.objective), known):
            return attack
        likelihood = RandomRoundingLikelihood(self._levels(parameters))
        objective = with_innermost(attack.objective, likelihood)
        return with_image_priors(replace(attack, objective=objective), NOISE_STD, public)

    @abstractmethod
    def _levels(self, parameters: Mapping[str, object]) -> int | None:
        """Return the levels up to a tensor's largest magnitude; None if that is none of them."""


@COUNTERMEASURES.register("qsgd")
class ExpectQSGD(_ExpectRandomRounding):
    """Weigh each level by how probable it was against what images look like."""

    def _levels(self, parameters: Mapping[str, object]) -> None:
        return None


@COUNTERMEASURES.register("stochastic-quantisation")
class ExpectStochasticQuantisation(_ExpectRandomRounding):
    """Weigh each level by how probable it was against what images look like."""

    def _levels(self, parameters: Mapping[str, object]) -> int:
        return int(2 ** (number(parameters, "bits") - 1)) - 1
