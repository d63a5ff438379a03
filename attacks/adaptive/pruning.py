"""Against magnitude pruning."""

from collections.abc import Mapping
from dataclasses import replace

from torch import Tensor

from fedsim.attacks.adaptive.base import Countermeasure
from fedsim.attacks.matching.attack import GradientMatching
from fedsim.attacks.matching.objectives import SurvivingDistance, with_innermost_wrapper
from fedsim.core.registry import COUNTERMEASURES


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
        objective = with_innermost_wrapper(attack.objective, SurvivingDistance())
        return replace(attack, objective=objective)


@COUNTERMEASURES.register("dgc")
class MatchSent(MatchSurvivors):
    """Match only the coordinates that were sent.

    Exact for a client's first upload; later ones hold what was withheld of earlier gradients too,
    which are of other batches: there it is an approximation.
    """
