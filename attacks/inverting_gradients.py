"""Inverting Gradients."""

from typing import Annotated

from pydantic import Field
from torch import Tensor, nn

from fedsim.attacks.matching.attack import SignedAdamMatching
from fedsim.attacks.matching.objectives import CosineDistance, Objective
from fedsim.attacks.matching.priors import Prior, TotalVariation
from fedsim.attacks.types import Observation
from fedsim.core.checked import CodeOnly
from fedsim.core.registry import ATTACKS


@ATTACKS.register("inverting-gradients")
class InvertingGradients(SignedAdamMatching):
    """Inverting Gradients: match the gradient's direction, with total variation as a prior.

    Geiping, Bauermeister, Dröge, Moeller, NeurIPS 2020 (arXiv 2003.14053), section 4: one cosine
    over all parameters together, total variation, Adam on the sign of the gradient with a falling
    step size, inside the box of possible pictures, labels inferred first; local steps are unrolled
    (section 6). Differences: a trial returns its best point by objective, not its last; total
    variation is smoothed at zero; the box is [0, 1], while the paper normalises its pictures; and
    the first step size is 0.03, which reconstructs the colour pictures of `tests/paper` better than
    the paper's 0.1.
    """

    evaluations: Annotated[
        int, Field(ge=1, description="maximum number of objective evaluations of each trial")
    ] = 4800
    total_variation: Annotated[
        float, Field(ge=0, description="weight of the total variation of the dummies")
    ] = 1e-2
    step_size: Annotated[float, Field(gt=0, description="first step size of Adam")] = 0.03
    objective: CodeOnly[Objective] = CosineDistance()

    def regularisers(self, model: nn.Module) -> tuple[Prior, ...]:
        """Return total variation, in addition to other priors."""
        return (*self.priors, TotalVariation(self.total_variation))

    def _labels(self, model: nn.Module, observation: Observation) -> Tensor | None:
        return self.known_or_inferred(model, observation)
