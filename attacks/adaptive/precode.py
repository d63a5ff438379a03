"""Against a variational bottleneck."""

from fedsim.attacks.adaptive.answer import Answer, Known
from fedsim.attacks.adaptive.base import Countermeasure
from fedsim.attacks.adaptive.layer_dropout import SharedLayersDistance
from fedsim.core.registry import COUNTERMEASURES

STOCHASTIC = frozenset(
    f"{layer}.{kind}"
    for layer in ("bottleneck.encoder", "bottleneck.decoder", "head")
    for kind in ("weight", "bias")
)
"""The tensors of the model ``precode`` that the draws enter directly."""


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

    def answer(self, known: Known) -> Answer:
        """Return the comparison of the tensors in front of the draws."""
        return Answer((SharedLayersDistance(left_out=STOCHASTIC),))
