"""Against a perturbed representation."""

from collections.abc import Mapping
from dataclasses import replace

from torch import Tensor

from fedsim.attacks.adaptive.base import Countermeasure
from fedsim.attacks.matching.attack import GradientMatching
from fedsim.attacks.matching.objectives import WithoutLastWeight, with_innermost_wrapper
from fedsim.core.registry import COUNTERMEASURES


@COUNTERMEASURES.register("soteria")
class LeaveOutLastWeight(Countermeasure):
    """Match all gradients but that of the layer whose input was pruned.

    The others are those of the true image. Source: Balunovic et al., Bayesian Framework for
    Gradient Leakage, ICLR 2022 (arXiv 2111.04706), section 5.
    """

    def adapt(
        self,
        attack: GradientMatching,
        parameters: Mapping[str, object],
        public: Tensor | None = None,
        unit: float = 1.0,
    ) -> GradientMatching:
        """Return the attack with an objective that does not see the last weight."""
        objective = with_innermost_wrapper(attack.objective, WithoutLastWeight())
        return replace(attack, objective=objective)
