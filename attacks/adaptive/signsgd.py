"""Against signs with one size for each tensor."""

from collections.abc import Mapping
from dataclasses import replace

from torch import Tensor

from fedsim.attacks.adaptive.base import Countermeasure
from fedsim.attacks.adaptive.noise import with_image_priors
from fedsim.attacks.adaptive.objectives import SignMatch
from fedsim.attacks.matching.attack import GradientMatching
from fedsim.attacks.matching.objectives import SurvivingDistance, has_wrapper, with_innermost
from fedsim.core.registry import COUNTERMEASURES

WEIGHT = 1e4
"""By simulated attacks on 4 clothes: ten times less or more loses about 1 dB."""

NOISE_STD = 0.04
"""Of gradients as uncertain as signs leave them, for `image_priors`."""


@COUNTERMEASURES.register("signsgd")
class MatchSigns(Countermeasure):
    """Look for an image whose gradient has the signs and sizes of the upload."""

    def adapt(
        self,
        attack: GradientMatching,
        parameters: Mapping[str, object],
        public: Tensor | None = None,
        unit: float = 1.0,
    ) -> GradientMatching:
        """Return the attack with an objective that sees signs and sizes alone.

        Many images have them; what images look like chooses among these.
        """
        likeness = SignMatch(WEIGHT, plus=not has_wrapper(attack.objective, SurvivingDistance))
        objective = with_innermost(attack.objective, likeness)
        return with_image_priors(replace(attack, objective=objective), NOISE_STD, public)
