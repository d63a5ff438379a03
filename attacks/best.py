"""The default attack: closed forms where they apply, gradient matching from there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field
from torch import Tensor, nn

from fedsim.attacks.closed.april import April
from fedsim.attacks.closed.base import ClosedForm
from fedsim.attacks.closed.dense import DenseInversion
from fedsim.attacks.closed.rgap.attack import RGAP
from fedsim.attacks.closed.spear import SPEAR
from fedsim.attacks.labels.known import known_or_inferred
from fedsim.attacks.matching.attack import LBFGSMatching
from fedsim.attacks.types import Observation, Reconstruction, Status
from fedsim.core.errors import AttackError
from fedsim.core.registry import ATTACKS

CLOSED_FORMS: tuple[ClosedForm, ...] = (DenseInversion(), April(), SPEAR(), RGAP())


@ATTACKS.register("best")
class BestOf(LBFGSMatching):
    """Best of all: closed forms first, and gradient matching from their results.

    Labels are read off the gradient where they can be, else optimised. The closed forms that
    suit the model and the batch (dense layer, APRIL, SPEAR, R-GAP) come first, and a result that
    explains the gradient to within ``tolerance`` is returned as it is. For all other victims the
    best of them is where the first trial of DLG's matching begins, and the others begin at grey.
    What is returned is chosen by the objective alone.
    """

    trials: Annotated[
        int, Field(ge=1, description="random starts per victim; the lowest objective wins")
    ] = 2
    closed_forms: Annotated[
        bool, Field(description="try closed forms before gradient matching")
    ] = True
    tolerance: Annotated[
        float, Field(ge=0, description="relative objective at which a trial has converged")
    ] = 1e-8

    def initial(
        self, model: nn.Module, observations: Mapping[int, Observation]
    ) -> Mapping[int, Reconstruction]:
        """Return the best closed form's result for each victim to which one applies."""
        best: dict[int, Reconstruction] = {}
        # Of the closed forms only this one holds whatever the layers after the first one draw.
        forms = (DenseInversion(),) if self.draws else CLOSED_FORMS
        for attack in forms if self.closed_forms else ():
            unsolved = [i for i in observations if i not in best or not self.is_final(best[i])]
            if not unsolved:
                break
            found = attack.run(model, [observations[i] for i in unsolved])
            for i, result in zip(unsolved, found, strict=True):
                worse = i in best and best[i].relative_objective <= result.relative_objective
                if result.status is not Status.FAILED and not worse:
                    best[i] = result
        # A result that fits worse than a zero gradient is not a start, unless draws are unknown.
        return {i: r for i, r in best.items() if self.draws or r.relative_objective < 1}

    def is_final(self, initial: Reconstruction) -> bool:
        """Return whether an initial reconstruction explains the gradient."""
        return initial.relative_objective <= self.tolerance

    def _labels(self, model: nn.Module, observation: Observation) -> Tensor | None:
        try:
            return known_or_inferred(model, observation, evaluations=self.evaluations)
        except AttackError:
            return None
