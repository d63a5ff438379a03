"""What a practitioner would use by default."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field
from torch import Tensor, nn

from fedsim.attacks.closed.base import ClosedForm
from fedsim.attacks.closed.dense import DenseInversion
from fedsim.attacks.closed.rgap.attack import RGAP
from fedsim.attacks.closed.spear import SPEAR
from fedsim.attacks.matching.attack import LBFGSMatching, known_or_inferred
from fedsim.attacks.types import Observation, Reconstruction, Status
from fedsim.core.errors import AttackError
from fedsim.core.registry import ATTACKS

CLOSED_FORMS: tuple[ClosedForm, ...] = (DenseInversion(), SPEAR(), RGAP())


@ATTACKS.register("best")
class BestOf(LBFGSMatching):
    """Best of all: what can be computed is computed, the rest is searched from there.

    Labels are read off the gradient where they can be, else optimised. The closed forms that
    suit the model and the batch (dense layer, SPEAR, R-GAP) come first, and whatever explains
    the gradient to within ``tolerance`` is returned as it is. For all other victims the best of
    them is where the first trial of DLG's matching begins, and the others begin at grey. What
    is returned is chosen by the objective alone.
    """

    trials: Annotated[
        int, Field(ge=1, description="random starts per victim; the lowest objective wins")
    ] = 2
    closed_forms: Annotated[
        bool, Field(description="compute what can be computed before searching")
    ] = True
    tolerance: Annotated[
        float, Field(ge=0, description="relative objective at which a trial has converged")
    ] = 1e-8

    def guesses(
        self, model: nn.Module, observations: Mapping[int, Observation]
    ) -> Mapping[int, Reconstruction]:
        """Return the best closed form's result for each victim that one of them fits."""
        best: dict[int, Reconstruction] = {}
        for attack in CLOSED_FORMS if self.closed_forms else ():
            rest = [i for i in observations if i not in best or not self._solves(best[i])]
            if not rest:
                break
            found = attack.run(model, [observations[i] for i in rest])
            for i, result in zip(rest, found, strict=True):
                worse = i in best and best[i].relative_objective <= result.relative_objective
                if result.status is not Status.FAILED and not worse:
                    best[i] = result
        # What explains the gradient worse than knowing nothing is no start.
        return {i: r for i, r in best.items() if r.relative_objective < 1}

    def settles(self, guess: Reconstruction) -> bool:
        """Return whether a guess is good enough to be the result."""
        return self._solves(guess)

    def _solves(self, guess: Reconstruction) -> bool:
        return guess.relative_objective <= self.tolerance

    def _labels(self, model: nn.Module, observation: Observation) -> Tensor | None:
        try:
            return known_or_inferred(model, observation)
        except AttackError:
            return None
