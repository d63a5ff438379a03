"""Surrogate model extension: the local training as one step at weights that it passed near."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from torch import Tensor, nn

from fedsim.attacks.labels.known import known_or_inferred
from fedsim.attacks.matching.attack import SignedAdamMatching
from fedsim.attacks.matching.objectives import CosineDistance, Objective
from fedsim.attacks.matching.priors import Prior, TotalVariation
from fedsim.attacks.types import Observation
from fedsim.core.checked import CodeOnly
from fedsim.core.registry import ATTACKS


@ATTACKS.register("surrogate")
class Surrogate(SignedAdamMatching):
    """Surrogate model: one gradient at weights between the received and the sent ones.

    Zhu, Yao, Blaschko, ICML 2023 (arXiv 2306.00127). The direction of the update is matched with
    the gradient of one large batch, not at the received weights but at a point of the line from
    them to the sent ones; the point is optimised together with the dummies. An evaluation costs
    one gradient whatever the number of local steps. It is an approximation: its failure is never
    evidence for a defense. Differences: labels are inferred; the point has the dummies' step size
    and total variation is smoothed at zero. An upload of one step is matched as it is.
    """

    local_steps: Annotated[
        Literal["unroll", "average", "surrogate"],
        Field(description="the surrogate model, or what other attacks do instead"),
    ] = "surrogate"
    evaluations: Annotated[
        int, Field(ge=1, description="maximum number of objective evaluations of each trial")
    ] = 2000
    total_variation: Annotated[
        float, Field(ge=0, description="weight of the total variation of the dummies")
    ] = 1e-2
    step_size: Annotated[float, Field(gt=0, description="first step size of Adam")] = 0.03
    objective: CodeOnly[Objective] = CosineDistance()

    def regularisers(self, model: nn.Module) -> tuple[Prior, ...]:
        """Return total variation, in addition to other priors."""
        return (*self.priors, TotalVariation(self.total_variation))

    def _labels(self, model: nn.Module, observation: Observation) -> Tensor | None:
        return known_or_inferred(model, observation)
