"""Gradient matching: the one loop behind DLG and its successors.

An attack of this family sets an objective, priors, a start, a label rule and an optimiser, and
inherits the rest: victims x trials are evaluated as one batch, each lane stops on its own and
makes room, and no more lanes run at once than fit the memory.
"""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from fedsim.attacks.base import Attack
from fedsim.attacks.functional import count_classes, parameters
from fedsim.attacks.labels.infer import check_range, infer_labels
from fedsim.attacks.labels.sequences import search_labels
from fedsim.attacks.matching.objectives import Objective, SquaredDistance
from fedsim.attacks.matching.optimisers import LBFGS, Optimiser, SignedAdam
from fedsim.attacks.matching.priors import Prior
from fedsim.attacks.matching.problem import Problem
from fedsim.attacks.types import Observation, OnProgress, Reconstruction, ShouldStop
from fedsim.core.checked import CodeOnly, checked
from fedsim.core.errors import AttackError

_DTYPES = {"float32": torch.float32, "float64": torch.float64}


@checked
class GradientMatching(Attack):
    """Adjust dummy data until their gradient equals the shared one."""

    reads_positions: ClassVar[bool] = True
    """Whether tokens and positions of texts are read together (`fedsim.attacks.text.space`)."""

    evaluations: Annotated[
        int, Field(ge=1, description="objective evaluations that each trial may spend")
    ] = 3000
    trials: Annotated[
        int, Field(ge=1, description="random starts per victim; the lowest objective wins")
    ] = 1
    patience: Annotated[
        int,
        Field(ge=1, description="evaluations before a trial ten times behind another is given up"),
    ] = 200
    start: Annotated[
        Literal["grey", "normal"],
        Field(description="first dummy: mid-grey with a little noise, or N(0, 1)"),
    ] = "grey"
    local_steps: Annotated[
        Literal["unroll", "average"],
        Field(description="follow a client's local steps, or take them for one large batch"),
    ] = "unroll"
    tolerance: Annotated[
        float, Field(ge=0, description="relative objective at which a trial has converged")
    ] = 1e-10
    precision: Annotated[
        Literal["model", "float32", "float64"],
        Field(description="arithmetic: the model's own, or another"),
    ] = "model"
    memory_gb: Annotated[
        float | None,
        Field(gt=0, description="memory for the trials that run at once, in GB; else what is free"),
    ] = None
    objective: CodeOnly[Objective] = SquaredDistance()
    priors: CodeOnly[tuple[Prior, ...]] = ()

    @abstractmethod
    def _labels(self, model: nn.Module, observation: Observation) -> Tensor | None:
        """Return the batch's labels if this attack knows or infers them, else None.

        Labels are ``(batch_size,)``, or guesses ``(guesses, batch_size)``, one for each trial.
        None makes the labels part of what is optimised.

        Raises:
            AttackError: the labels should be inferred and cannot be.
        """

    @abstractmethod
    def optimiser(self) -> Optimiser:
        """Return how the dummies are moved."""

    def regularisers(self) -> tuple[Prior, ...]:
        """Return what is known of the data beforehand, added to the objective."""
        return self.priors

    def distance(self) -> Objective:
        """Return how the dummies' upload is compared with the shared one."""
        return self.objective

    def shared(self, model: nn.Module, observation: Observation) -> Mapping[str, Tensor]:
        """Return what the dummies' upload is compared with, by name."""
        return {k: observation.gradient[k] for k in parameters(model)}

    def couple(self, data: Tensor, victims: Tensor) -> tuple[Tensor, Tensor] | None:
        """Return a cost that ties the trials of a victim together, and its gradient.

        Args:
            data: the dummies of all running lanes, ``(A, n)``.
            victims: whose they are, ``(A,)``.

        Returns:
            ``(A,)`` and ``(A, n)``; None if trials know nothing of each other.
        """
        return None

    def guesses(
        self, model: nn.Module, observations: Mapping[int, Observation]
    ) -> Mapping[int, Reconstruction]:
        """Return what is known of the data before any optimisation, for some of the victims.

        A guess is the start of a victim's first trial, or its result if it `settles`.
        """
        return {}

    def settles(self, guess: Reconstruction) -> bool:
        """Return whether a guess leaves nothing to search for."""
        return False

    def misfit(
        self, model: nn.Module, observation: Observation, data: Tensor, labels: Tensor
    ) -> float:
        """Return this attack's relative objective of a batch that somebody else supplies."""
        problem = Problem(self, self._cast(model), {0: observation}, {0: labels}, seed=0)
        return problem.misfit(data, labels)

    def _reconstruct(
        self,
        model: nn.Module,
        observations: dict[int, Observation],
        *,
        seed: int,
        on_progress: OnProgress,
        should_stop: ShouldStop,
    ) -> dict[int, Reconstruction]:
        results: dict[int, Reconstruction] = {}
        known: dict[int, Tensor | None] = {}
        classes = count_classes(model, next(iter(observations.values())).input_shape)
        for i, observation in observations.items():
            try:
                found = self._labels(model, observation)
                check_range(found, classes)
                known[i] = found
            except AttackError as error:
                results[i] = Reconstruction.failed(str(error))
        working, dtype = self._cast(model), next(model.parameters()).dtype
        for joint in (True, False):
            labels = {i: y for i, y in known.items() if (y is None) is joint}
            if labels:
                guesses = self.guesses(model, {i: observations[i] for i in labels})
                settled = {i: guess for i, guess in guesses.items() if self.settles(guess)}
                results |= settled
                rest = {i: observations[i] for i in labels if i not in settled}
                if rest:
                    problem = Problem(self, working, rest, labels, seed, dtype)
                    results |= self._solved(problem, guesses, on_progress, should_stop)
        return results

    def _solved(
        self,
        problem: Problem,
        guesses: Mapping[int, Reconstruction],
        on_progress: OnProgress,
        should_stop: ShouldStop,
    ) -> dict[int, Reconstruction]:
        """Return the solution for each victim of a problem."""
        return problem.solve(guesses, on_progress, should_stop)

    def _cast(self, model: nn.Module) -> nn.Module:
        """Return the model in the precision to work in; the model itself if that is its own."""
        dtype = _DTYPES.get(self.precision)
        if dtype is None or dtype == next(model.parameters()).dtype:
            return model
        return copy.deepcopy(model).to(dtype)


@checked
class LBFGSMatching(GradientMatching):
    """Gradient matching by L-BFGS with a safeguarded step for each lane."""

    history: Annotated[
        int, Field(ge=1, description="evaluations that L-BFGS remembers curvature from")
    ] = 100

    def optimiser(self) -> Optimiser:
        """Return batched L-BFGS."""
        return LBFGS(self.history)


@checked
class SignedAdamMatching(GradientMatching):
    """Gradient matching by Adam on the sign of the gradient, inside [0, 1]."""

    step_size: Annotated[float, Field(gt=0, description="first step size of Adam")] = 0.1
    signed: Annotated[
        bool, Field(description="use the sign of the gradient alone, not its size")
    ] = True

    def optimiser(self) -> Optimiser:
        """Return batched Adam."""
        return SignedAdam(self.step_size, self.signed)


def known_or_inferred(model: nn.Module, observation: Observation) -> Tensor:
    """Return the labels that the threat model makes public, else those read off the gradient.

    Returns:
        ``(batch_size,)``; after several local steps, whose order matters, guesses at it,
        ``(guesses, batch_size)``, the likeliest first: one for each trial.

    Raises:
        AttackError: they cannot be read off.
    """
    if observation.training is not None:
        return search_labels(model, observation)
    if observation.labels is not None:
        return observation.labels
    return infer_labels(
        model, observation.gradient, observation.input_shape, observation.batch_size
    )
