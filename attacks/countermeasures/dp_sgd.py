"""Against clipped gradients with noise."""

from collections.abc import Mapping
from dataclasses import replace

from torch import Tensor

from attacks.countermeasures.base import Countermeasure, number
from attacks.countermeasures.noise import most_probable
from attacks.matching import GradientMatching
from attacks.objectives import ClippedDistance, GaussianLikelihood
from fedsim.registry import COUNTERMEASURES


@COUNTERMEASURES.register("dp-sgd")
class ExpectClippingAndNoise(Countermeasure):
    """Clip the dummy gradient as the client does, and weigh the rest as noise.

    Exact for single examples in a single step. Of a batch each example is clipped by a factor of
    its own, where this attacker clips their mean; and the noise on the mean is smaller than it
    takes it for, so that the prior weighs more than it should.
    """

    def adapt(
        self,
        attack: GradientMatching,
        parameters: Mapping[str, object],
        public: Tensor | None = None,
        unit: float = 1.0,
    ) -> GradientMatching:
        """Return the attack with a likelihood of clipped gradients, whatever the unit is."""
        norm = number(parameters, "norm")
        std = norm * number(parameters, "noise_multiplier")
        clipped = replace(attack, objective=ClippedDistance(attack.objective, norm))
        if not std:
            return clipped
        return most_probable(clipped, GaussianLikelihood(std), public, last=False)
