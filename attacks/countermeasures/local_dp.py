"""Against clipping followed by noise."""

from collections.abc import Mapping

from torch import Tensor

from attacks.countermeasures.base import Countermeasure, number
from attacks.countermeasures.clipping import ClipToo
from attacks.countermeasures.noise import ExpectGaussianNoise
from attacks.matching import GradientMatching
from fedsim.registry import COUNTERMEASURES


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
