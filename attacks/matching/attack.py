"""Gradient matching: DLG and its successors.

An attack of this family sets an objective, priors, a start, a label rule and an optimiser
(`fedsim.attacks.matching.hooks`), and inherits the loop (`fedsim.attacks.matching.loop`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Self

import torch
from pydantic import Field
from torch import Tensor, nn

from fedsim.attacks.functional import count_classes
from fedsim.attacks.labels.infer import check_range
from fedsim.attacks.labels.scaled import unscaled
from fedsim.attacks.matching.calibration import plausible_draws
from fedsim.attacks.matching.hooks import MatchingHooks
from fedsim.attacks.matching.loop import match_gradients
from fedsim.attacks.matching.objectives import Withheld
from fedsim.attacks.matching.optimisers import LBFGS, Optimiser, SignedAdam
from fedsim.attacks.matching.problem import Against, Problem
from fedsim.attacks.matching.trials import Trials
from fedsim.attacks.matching.truth import truth_fit
from fedsim.attacks.matching.undo import undone
from fedsim.attacks.types import (
    Observation,
    OnProgress,
    Reconstruction,
    ShouldStop,
    Snapshot,
    TruthFit,
)
from fedsim.core.checked import checked
from fedsim.core.errors import AttackError
from fedsim.core.modality import PICTURES
from fedsim.core.modules import copied, draw_size

_DTYPES = {"float32": torch.float32, "float64": torch.float64}


@checked
class GradientMatching(MatchingHooks):
    """Adjust dummy data until their gradient equals the shared one."""

    def relative_objective_of(
        self, model: nn.Module, observation: Observation, data: Tensor, labels: Tensor
    ) -> float:
        """Return this attack's relative objective of a given batch."""
        problem, against, target = self._judging(self._cast(model), observation, labels)
        draws = self._drawn(model, observation, data, labels)
        return problem.relative_objective_of(data, target, against, draws)

    def judged(
        self, model: nn.Module, observation: Observation, found: Reconstruction
    ) -> Reconstruction:
        """Return another attack's reconstruction, judged by this attack's own objective."""
        data, labels = found.data, found.labels
        if data is None or labels is None:
            return found
        problem, against, target = self._judging(self._cast(model), observation, labels)
        relative = problem.relative_objective_of(data, target, against)
        objective = relative * float(problem.scale({k: g[None] for k, g in against.shared.items()}))
        last = Snapshot(found.evaluations, objective, data)
        return replace(found, objective=objective, relative_objective=relative, history=(last,))

    def truth_fit(
        self, model: nn.Module, observation: Observation, data: Tensor, labels: Tensor
    ) -> TruthFit:
        """Return the fit of the private batch under this attack's own equations.

        The draws of stochastic layers are those that fit the private batch best.
        """
        draws = self._drawn(model, observation, data, labels)

        def upload(dtype: torch.dtype) -> Mapping[str, Tensor]:
            cast = copied(model).to(dtype)
            problem, against, target = self._judging(cast, observation, labels)
            return {
                k: g.double() for k, g in problem.upload_of(data, target, against, draws).items()
            }

        problem, against, target = self._judging(self._cast(model), observation, labels)
        relative = problem.relative_objective_of(data, target, against, draws)
        distance = problem.attack.distance()
        fit = truth_fit(relative, distance, upload, against.shared, model, observation)
        # Draws of any size would make up for wrong equations.
        if draws is not None and not plausible_draws(draws):
            return replace(fit, explained=False)
        return fit

    def against_defenses(self) -> Self:
        """Return the attack itself, whose objective and priors countermeasures replace."""
        return self

    def without_gradient(self) -> Self | None:
        """Return the attack that minimises its priors alone; None if it has none."""
        if not any(prior.modality == PICTURES for prior in self.priors):
            return None
        return replace(self, objective=Withheld(), trials=1, undo=())

    def _drawn(
        self, model: nn.Module, observation: Observation, data: Tensor, labels: Tensor
    ) -> Tensor | None:
        """Return the draws that fit a batch best, in double precision; None without draws."""
        if not self.draws or not draw_size(model):
            return None
        exact = copied(model).double()
        problem, against, target = self._judging(exact, observation, labels)
        return problem.fitted_draws(data, target, against)

    def _judging(
        self, model: nn.Module, observation: Observation, labels: Tensor
    ) -> tuple[Problem, Against, Tensor]:
        """Return the problem of one victim with known labels, and the labels in its precision."""
        if not observation.is_classification and labels.ndim > 1:
            labels = labels.to(next(model.parameters()).dtype)
        problem = Problem(self.suited_to(observation), model, {0: observation}, joint=False)
        return problem, Trials(problem, {0: None}, seed=0).against(0), labels

    def suited_to(self, observation: Observation) -> GradientMatching:
        """Return the attack whose equations and search an observation gets, by default this one.

        Args:
            observation: one of several that were observed alike.
        """
        return self

    def _reconstruct(
        self,
        model: nn.Module,
        observations: dict[int, Observation],
        *,
        seed: int,
        on_progress: OnProgress,
        should_stop: ShouldStop,
    ) -> dict[int, Reconstruction]:
        attack = self.suited_to(next(iter(observations.values())))
        return attack._matched(model, observations, seed, on_progress, should_stop)

    def _matched(
        self,
        model: nn.Module,
        observations: dict[int, Observation],
        seed: int,
        on_progress: OnProgress,
        should_stop: ShouldStop,
    ) -> dict[int, Reconstruction]:
        """Return the reconstructions by this attack's own equations."""
        known, results = self._labels_of(model, observations, should_stop)
        working, dtype = self._cast(model), next(model.parameters()).dtype
        for joint in (True, False):
            labels = {i: y for i, y in known.items() if (y is None) is joint}
            if not labels:
                continue
            initial = self.initial(model, {i: observations[i] for i in labels}, should_stop)
            final = {i: found for i, found in initial.items() if self.is_final(found)}
            results |= final
            others = {i: observations[i] for i in labels if i not in final}
            if others:
                problem = Problem(self, working, others, joint=joint, dtype=dtype)
                trials = Trials(problem, labels, seed, initial)
                results |= self._solved(problem, trials, on_progress, should_stop)
        if not self.undo:
            return results
        classes = count_classes(model, next(iter(observations.values())).input_shape)
        return {i: undone(self.undo, observations[i], r, classes) for i, r in results.items()}

    def _labels_of(
        self,
        model: nn.Module,
        observations: Mapping[int, Observation],
        should_stop: ShouldStop,
    ) -> tuple[dict[int, Tensor | None], dict[int, Reconstruction]]:
        """Return the labels of victims, None if unknown, and the failures of the others."""
        known: dict[int, Tensor | None] = {}
        failed: dict[int, Reconstruction] = {}
        classes = count_classes(model, next(iter(observations.values())).input_shape)
        for i, observation in observations.items():
            if (
                observation.training is not None and should_stop()
            ):  # labels can be searched for long
                failed[i] = Reconstruction.failed("stopped before the first evaluation")
                continue
            try:
                mixed = self.mixed_labels and observation.is_classification
                seen = unscaled(model, observation) if self.scaled and not mixed else observation
                found = None if mixed else self._labels(model, seen)
                if found is not None and not found.is_floating_point():
                    check_range(found, classes)
                known[i] = found
            except AttackError as error:
                failed[i] = Reconstruction.failed(str(error))
        return known, failed

    def _solved(
        self, problem: Problem, trials: Trials, on_progress: OnProgress, should_stop: ShouldStop
    ) -> dict[int, Reconstruction]:
        """Return the solution for each victim of a problem."""
        return match_gradients(problem, trials, on_progress, should_stop)

    def _cast(self, model: nn.Module) -> nn.Module:
        """Return the model in the attack's precision; the model itself if it already has it."""
        dtype = _DTYPES.get(self.precision)
        if dtype is None or dtype == next(model.parameters()).dtype:
            return model
        return copied(model).to(dtype)


@checked
class LBFGSMatching(GradientMatching):
    """Gradient matching by L-BFGS with a safeguarded line search for each lane."""

    history: Annotated[
        int, Field(ge=1, description="number of past evaluations in L-BFGS's curvature estimate")
    ] = 100
    plateau: Annotated[
        int | None,
        Field(
            ge=1,
            description="evaluations after which a search ends that has gained less than 1e-5 of "
            "its objective in them; None to spend all",
        ),
    ] = 100

    def optimiser(self) -> Optimiser:
        """Return batched L-BFGS."""
        return LBFGS(self.history, self.plateau)


@checked
class SignedAdamMatching(GradientMatching):
    """Gradient matching by Adam on the sign of the gradient, inside the range of the data."""

    step_size: Annotated[float, Field(gt=0, description="first step size of Adam")] = 0.1
    signed: Annotated[bool, Field(description="use only the sign of the gradient")] = True

    def optimiser(self) -> Optimiser:
        """Return batched Adam."""
        return SignedAdam(self.step_size, self.signed)
