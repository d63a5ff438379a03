"""Countermeasure to PRECODE's variational bottleneck."""

from fedsim.attacks.adaptive.answer import Answer, Known
from fedsim.attacks.adaptive.base import Countermeasure
from fedsim.core.registry import COUNTERMEASURES


@COUNTERMEASURES.register("precode")
class FindDraws(Countermeasure):
    """Look for the bottleneck's random draws together with the pictures.

    The draws are private, but constants of the upload, as the pictures are. With a standard normal
    vector for each example (and step) as a further unknown, the equations of gradient matching are
    exact, and the gradients of the bottleneck's layers determine the draws. This differs
    from Scheliga, Mäder, Seeland, Combining Variational Modeling with Partial Gradient Perturbation
    to Prevent Deep Gradient Leakage, 2022 (arXiv 2208.04767), whose attacker omits the gradients of
    the stochastic layer and of the layers behind it: the error of the draws remains in the others.

    The search does not use that the draws are standard normal, so a solution can need draws that
    are not. It is flagged as approximate for that: its failure does not show that PRECODE protects.
    """

    def answer(self, known: Known) -> Answer:
        """Return draws as unknowns."""
        return Answer(draws=True, approximate=True)
