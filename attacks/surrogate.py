"""Surrogate model extension: the local training as one step at weights that it passed near."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from fedsim.attacks.inverting_gradients import InvertingGradients
from fedsim.attacks.matching.hooks import StepsAs
from fedsim.core.registry import ATTACKS


@ATTACKS.register("surrogate")
class Surrogate(InvertingGradients):
    """Surrogate model: one gradient at weights between the received and the sent ones.

    Zhu, Yao, Blaschko, ICML 2023 (arXiv 2306.00127). The direction of the update is matched with
    the gradient of one large batch, not at the received weights but at a point of the line from
    them to the sent ones; the point is optimised together with the dummies. An evaluation costs
    one gradient whatever the number of local steps. It is an approximation: its failure is never
    evidence for a defense. Differences: labels are inferred; the point has the dummies' step size
    and total variation is smoothed at zero. An upload of one step is matched as it is.
    """

    local_steps: Annotated[
        StepsAs,
        Field(description="the surrogate model, or what other attacks do instead"),
    ] = "surrogate"
    evaluations: Annotated[
        int, Field(ge=1, description="maximum number of objective evaluations of each trial")
    ] = 2000
