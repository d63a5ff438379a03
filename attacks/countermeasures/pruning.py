"""Against magnitude pruning."""

from collections.abc import Mapping
from dataclasses import replace

from attacks.countermeasures.base import Countermeasure
from attacks.matching import GradientMatching
from attacks.objectives import SurvivingDistance
from fedsim.registry import COUNTERMEASURES


@COUNTERMEASURES.register("pruning")
class MatchSurvivors(Countermeasure):
    """Match only the coordinates that survived pruning.

    The zeros of the upload show which they are, so the fraction need not even be known.
    """

    def adapt(self, attack: GradientMatching, parameters: Mapping[str, object]) -> GradientMatching:
        """Return the attack with its objective over the surviving coordinates."""
        return replace(attack, objective=SurvivingDistance())
