"""Against clipping followed by noise."""

from collections.abc import Mapping

from torch import Tensor

from fedsim.attacks.adaptive.base import Countermeasure, number
from fedsim.attacks.adaptive.clipping import ClipToo
from fedsim.attacks.adaptive.noise import ExpectGaussianNoise
from fedsim.attacks.matching.attack import GradientMatching
from fedsim.core.registry import COUNTERMEASURES


@COUNTERMEASURES.register("local-dp")
class ExpectClippingAndNoise(Countermeasure):
    """Clip the dummy gradient too, and weigh the mismatch by the noise's likelihood."""

    def adapt(
        self,
        attack: GradientMatching,
        parameters: Mapping[str, object],
        public: Tensor | None = None,
        unit: float = 1.0,
    ) -> GradientMatching:
        """Return the attack that looks for the most probable image.

        The noise is in the unit of the clipped upload, to which the dummy is clipped before they
        are compared, so the length that clipping took away need not be guessed.
        """
        std = number(parameters, "noise_multiplier") * number(parameters, "norm")
        clipped = ClipToo().adapt(attack, parameters, public, unit)
        return ExpectGaussianNoise().adapt(clipped, {"std": std}, public, unit)
