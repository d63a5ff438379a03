"""The default attack: closed forms where they apply, gradient matching from there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Annotated

from pydantic import Field
from torch import Tensor, nn

from fedsim.attacks.closed.april import April
from fedsim.attacks.closed.base import ClosedForm
from fedsim.attacks.closed.dense import DenseInversion
from fedsim.attacks.closed.rgap.attack import RGAP
from fedsim.attacks.closed.spear import SPEAR
from fedsim.attacks.local_training import LocalTraining
from fedsim.attacks.matching.attack import GradientMatching, LBFGSMatching
from fedsim.attacks.matching.hooks import MatchingHooks, StepsAs
from fedsim.attacks.matching.objectives import CosineDistance, SquaredDistance, unwrapped
from fedsim.attacks.surrogate import Surrogate
from fedsim.attacks.types import (
    Observation,
    Reconstruction,
    ShouldStop,
    Status,
    never_stop,
)
from fedsim.core.errors import AttackError
from fedsim.core.local_steps import worth_unrolling
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

    Several local steps are unrolled, up to ``most_unrolled`` of them. Longer trainings, and those
    whose steps use examples again in an order that is not known, are attacked by `Surrogate`,
    which needs no order and whose cost does not grow with the steps. The rule depends only on what
    the server has set. The limit bounds the cost, and was not tuned: an evaluation costs a gradient
    for each unrolled step.
    """

    trials: Annotated[
        int, Field(ge=1, description="random starts per victim; the lowest objective wins")
    ] = 2
    closed_forms: Annotated[
        bool, Field(description="try closed forms before gradient matching")
    ] = True
    most_unrolled: Annotated[
        int, Field(ge=1, description="local steps to unroll; of more, a surrogate model is matched")
    ] = 20
    tolerance: Annotated[
        float, Field(ge=0, description="relative objective at which a trial has converged")
    ] = 1e-8

    def initial(
        self,
        model: nn.Module,
        observations: Mapping[int, Observation],
        should_stop: ShouldStop = never_stop,
    ) -> Mapping[int, Reconstruction]:
        """Return the best closed form's result for each victim to which one applies."""
        best: dict[int, Reconstruction] = {}
        for attack in self._forms() if self.closed_forms else ():
            unsolved = [i for i in observations if i not in best or not self.is_final(best[i])]
            if not unsolved:
                break
            seen = [observations[i] for i in unsolved]
            found = attack.run(model, seen, should_stop=should_stop)
            for i, computed in zip(unsolved, found, strict=True):
                result = self._judged(model, observations[i], computed)
                worse = i in best and best[i].relative_objective <= result.relative_objective
                if result.status is not Status.FAILED and not worse:
                    best[i] = result
        # A result that fits worse than a zero gradient is not a start, unless draws are unknown.
        return {i: r for i, r in best.items() if self.draws or r.relative_objective < 1}

    def _forms(self) -> Sequence[ClosedForm]:
        """Return the closed forms for what is known of the defense."""
        if self.draws:  # only this one holds whatever the layers after the first one draw
            return (DenseInversion(),)
        floors = [wrapper.pruned_up_to for wrapper in unwrapped(self.objective)[0]]
        pruned = [floor for floor in floors if floor is not None]
        own = RGAP(floor=max(pruned, default=None), scaled=self.scaled)
        return tuple(own if isinstance(form, RGAP) else form for form in CLOSED_FORMS)

    def _judged(
        self, model: nn.Module, observation: Observation, computed: Reconstruction
    ) -> Reconstruction:
        """Return a closed form's result, judged by this attack's own objective.

        That of an attacker who knows of a defense differs from a closed form's: a clipped gradient
        is another one, and leads R-GAP to the same picture. What explains the upload as it is needs
        no other judge: behind noise that hardly matters, priors would only lead away from it.
        """
        changed = self.priors or self.per_example or self.per_client
        own = self.objective != SquaredDistance() or changed
        if self.draws or not own or self.is_final(computed):
            return computed
        return self.judged(model, observation, computed)

    def is_final(self, initial: Reconstruction) -> bool:
        """Return whether an initial reconstruction explains the gradient."""
        return initial.relative_objective <= self.tolerance

    def steps_as(self, training: LocalTraining, examples: int) -> StepsAs:
        """Return the way to take a local training: unrolled if in a known order, and short."""
        guessed = training.reuses(examples) and self.reused == "guess"
        short = worth_unrolling(training.steps, guessed, self.most_unrolled)
        return self.local_steps if short or self.local_steps != "unroll" else "surrogate"

    def suited_to(self, observation: Observation) -> GradientMatching:
        """Return the attack on a training that is too long to unroll, else this one."""
        training = observation.training
        if training is None or self.steps_as(training, observation.batch_size) != "surrogate":
            return self
        own = {f.name: getattr(self, f.name) for f in fields(MatchingHooks)}
        if own["objective"] == SquaredDistance():
            own["objective"] = CosineDistance()
        return _LongTraining(**{**own, "local_steps": "surrogate"})

    def _labels(self, model: nn.Module, observation: Observation) -> Tensor | None:
        return _labels_or_none(self, model, observation)


class _LongTraining(Surrogate):
    """Surrogate model that optimises labels which cannot be found."""

    def _labels(self, model: nn.Module, observation: Observation) -> Tensor | None:
        return _labels_or_none(self, model, observation)


def _labels_or_none(
    attack: MatchingHooks, model: nn.Module, observation: Observation
) -> Tensor | None:
    try:
        return attack.known_or_inferred(model, observation)
    except AttackError:
        return None
