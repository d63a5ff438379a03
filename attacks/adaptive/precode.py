"""Against a variational bottleneck."""

from collections.abc import Mapping
from dataclasses import replace

from torch import Tensor

from fedsim.attacks.adaptive.base import Countermeasure
from fedsim.attacks.matching.attack import GradientMatching
from fedsim.attacks.matching.objectives import SharedLayersDistance, with_innermost_wrapper
from fedsim.core.registry import COUNTERMEASURES

STOCHASTIC = frozenset(
    f"{layer}.{kind}"
    for layer in ("bottleneck.encoder", "bottleneck.decoder", "head")
    for kind in ("weight", "bias")
)
"""What the draws of the model ``precode`` enter directly."""


@COUNTERMEASURES.register("precode")
class LeaveOutBottleneck(Countermeasure):
    """Match the gradients of the layers before the bottleneck alone.

    Source: Scheliga, Mäder, Seeland, Combining Variational Modeling with Partial Gradient
    Perturbation to Prevent Deep Gradient Leakage, 2022 (arXiv 2208.04767): an attacker who omits
    the gradients of the stochastic layer and of those behind it. The error that the
    draws send back to the layers before it remains. Through dense layers the picture is found
    all the same, as Balunovic et al., ICLR 2022 (arXiv 2111.04706) found; through the
    convolutions of ``lenet`` we saw no gain.
    """

    def adapt(
        self,
        attack: GradientMatching,
        parameters: Mapping[str, object],
        public: Tensor | None = None,
        unit: float = 1.0,
    ) -> GradientMatching:
        """Return the attack with an objective that does not see the layers behind draws."""
        without = SharedLayersDistance(left_out=STOCHASTIC)
        return replace(attack, objective=with_innermost_wrapper(attack.objective, without))
