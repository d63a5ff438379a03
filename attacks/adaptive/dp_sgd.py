"""Against clipped gradients of single examples with noise."""

from collections.abc import Mapping

from torch import Tensor

from fedsim.attacks.adaptive.base import Countermeasure, number
from fedsim.attacks.adaptive.clipping import ClipToo
from fedsim.attacks.adaptive.local_dp import ExpectClippingAndNoise
from fedsim.attacks.matching.attack import GradientMatching
from fedsim.core.registry import COUNTERMEASURES


@COUNTERMEASURES.register("dp-sgd")
class ExpectClippedExamples(Countermeasure):
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
        noisy = number(parameters, "noise_multiplier") > 0
        knowing = ExpectClippingAndNoise() if noisy else ClipToo()
        return knowing.adapt(attack, parameters, public)
