"""Against magnitude pruning."""

from collections.abc import Mapping
from dataclasses import replace

from torch import Tensor

from attacks.countermeasures.base import Countermeasure
from attacks.matching import GradientMatching
from attacks.objectives import SurvivingDistance, narrowed
from fedsim.registry import COUNTERMEASURES


@COUNTERMEASURES.register("pruning")
class MatchSurvivors(Countermeasure):
    """Match only the coordinates that survived pruning.

    The zeros of the upload show which they are, so the fraction need not even be known.
    """

    def adapt(
        self,
        attack: GradientMatching,
        parameters: Mapping[str, object],
        public: Tensor | None = None,
        unit: float = 1.0,
    ) -> GradientMatching:
        """Return the attack with its objective over the surviving coordinates."""
        return replace(attack, objective=narrowed(attack.objective, SurvivingDistance))
