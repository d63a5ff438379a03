"""Against uploads of part of the layers."""

from collections.abc import Mapping
from dataclasses import replace

from torch import Tensor

from fedsim.attacks.adaptive.base import Countermeasure
from fedsim.attacks.matching.attack import GradientMatching
from fedsim.attacks.matching.objectives import SharedLayersDistance, with_innermost_wrapper
from fedsim.core.registry import COUNTERMEASURES


@COUNTERMEASURES.register("partial-upload")
class MatchSharedLayers(Countermeasure):
    """Match only the tensors that were sent.

    Those that were not are zero throughout, so their share need not even be known.
    """

    def adapt(
        self,
        attack: GradientMatching,
        parameters: Mapping[str, object],
        public: Tensor | None = None,
        unit: float = 1.0,
    ) -> GradientMatching:
        """Return the attack with its objective over the tensors that were sent."""
        objective = with_innermost_wrapper(attack.objective, SharedLayersDistance())
        return replace(attack, objective=objective)
