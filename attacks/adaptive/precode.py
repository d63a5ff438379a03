"""Countermeasure to PRECODE's variational bottleneck."""

from fedsim.attacks.adaptive.answer import Answer, Known
from fedsim.attacks.adaptive.base import Countermeasure
from fedsim.attacks.adaptive.layer_dropout import SharedLayersDistance
from fedsim.core.registry import COUNTERMEASURES

STOCHASTIC = frozenset(
    f"{layer}.{kind}"
    for layer in ("bottleneck.encoder", "bottleneck.decoder", "head")
    for kind in ("weight", "bias")
)
"""Tensors of the model ``precode`` that depend directly on random draws."""


@COUNTERMEASURES.register("precode")
class LeaveOutBottleneck(Countermeasure):
    """Match only the gradients of the layers before the bottleneck.

    Source: Scheliga, Mäder, Seeland, Combining Variational Modeling with Partial Gradient
    Perturbation to Prevent Deep Gradient Leakage, 2022 (arXiv 2208.04767): an attacker who omits
    the gradients of the stochastic layer and of the layers behind it. The error from the draws in
    the layers before it remains. With dense layers the picture can still be reconstructed, as
    Balunovic et al., ICLR 2022 (arXiv 2111.04706) found; with the convolutions of ``lenet`` we
    observed no gain.
    """

    def answer(self, known: Known) -> Answer:
        """Return the comparison of the tensors before the bottleneck."""
        return Answer((SharedLayersDistance(left_out=STOCHASTIC),), approximate=True)
