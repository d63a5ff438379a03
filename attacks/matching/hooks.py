"""Hyper-parameters and hooks of gradient matching, which the attacks of the family set."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import Field
from torch import Tensor, nn

from fedsim.attacks.base import Attack
from fedsim.attacks.functional import parameters
from fedsim.attacks.labels.known import known_or_inferred
from fedsim.attacks.local_training import LocalTraining
from fedsim.attacks.matching.objectives import Objective, SquaredDistance
from fedsim.attacks.matching.optimisers import Optimiser
from fedsim.attacks.matching.priors import Prior
from fedsim.attacks.matching.processing import Change
from fedsim.attacks.matching.space import Space, space_type
from fedsim.attacks.matching.undo import Undo
from fedsim.attacks.types import Observation, Reconstruction, ShouldStop, never_stop
from fedsim.core.checked import CodeOnly, checked

StepsAs = Literal["unroll", "average", "surrogate"]
Reused = Literal["guess", "agree"]


@checked
class MatchingHooks(Attack):
    """Objective, priors, start, labels and optimiser of an attack that matches gradients.

    An attacker of changed batches has two more: whether labels are mixed, so that they are
    optimised as probabilities, and the steps from the trained pictures to the private ones.

    Attributes:
        per_example: what the client does to the gradient of each example before it takes their
            mean; the dummies' gradients are changed alike.
        per_client: of several clients in a sum, what each does to its gradient before the mean over
            the clients is taken; the dummies of a client follow each other.
        scaled: whether a defense made gradients smaller by an unknown factor, for which labels that
            are read off a gradient need an estimate.
        draws: whether the draws of the model's stochastic layers are unknowns, as the data are.
        approximate: whether the equations of a defense that the attack answers hold only
            approximately, so that its failure is not evidence for the defense.
    """

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
        StepsAs,
        Field(
            description="follow a client's local steps, take them for one step on one large batch, "
            "or for one at weights between the received and the sent ones"
        ),
    ] = "unroll"
    reused: Annotated[
        Reused,
        Field(
            description="unrolled passes after the first: a guessed order of the same dummies, or "
            "dummies of their own that agree up to their order"
        ),
    ] = "guess"
    agreement: Annotated[
        float, Field(ge=0, description="weight of the agreement of passes that have own dummies")
    ] = 1.0
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
    mixed_labels: CodeOnly[bool] = False
    undo: CodeOnly[tuple[Undo, ...]] = ()
    per_example: CodeOnly[tuple[Change, ...]] = ()
    per_client: CodeOnly[tuple[tuple[Change, ...], ...]] = ()
    scaled: CodeOnly[bool] = False
    draws: CodeOnly[bool] = False
    approximate: CodeOnly[bool] = False

    def steps_as(self, training: LocalTraining, examples: int) -> StepsAs:
        """Return the way in which the attack takes a local training.

        Args:
            training: of several steps.
            examples: number of the client's different examples.
        """
        return self.local_steps

    def own_passes(self, observation: Observation) -> int:
        """Return the number of passes with dummies of their own; 1 if all have the same."""
        training, examples = observation.training, observation.batch_size
        if self.reused == "guess" or training is None or training.epochs is None:
            return 1
        unrolled = self.steps_as(training, examples) == "unroll"
        return training.epochs if unrolled and training.reuses(examples) else 1

    def evaluations_for_labels(self, observation: Observation) -> int:
        """Return the evaluations that a search of labels may be compared with.

        None for labels that are public and whose order does not matter.
        """
        training, examples = observation.training, observation.batch_size
        if training is None or observation.labels is None:
            return self.evaluations
        return self.evaluations if self.steps_as(training, examples) == "unroll" else 0

    def known_or_inferred(self, model: nn.Module, observation: Observation) -> Tensor:
        """Return public labels, or those found from the upload.

        Raises:
            AttackError: they cannot be found.
        """
        evaluations = self.evaluations_for_labels(observation)
        return known_or_inferred(model, observation, evaluations=evaluations)

    @abstractmethod
    def _labels(self, model: nn.Module, observation: Observation) -> Tensor | None:
        """Return the batch's labels if this attack knows or infers them, else None.

        Labels are ``(batch_size,)``, or candidates ``(candidates, batch_size)``, one for each
        trial; or floating targets of the loss ``(batch_size, ...)``. None makes the labels part
        of the unknowns.

        Raises:
            AttackError: the labels should be inferred and cannot be.
        """

    @abstractmethod
    def optimiser(self) -> Optimiser:
        """Return the optimiser of the dummies."""

    def space_type(self, model: nn.Module) -> type[Space]:
        """Return the space in which the attack searches; by default that of the modality."""
        return space_type(model)

    def regularisers(self, model: nn.Module) -> tuple[Prior, ...]:
        """Return the priors that are added to the objective.

        Args:
            model: the attacked model.
        """
        return self.priors

    def distance(self) -> Objective:
        """Return the distance of the dummies' upload from the shared one."""
        return self.objective

    def shared(self, model: nn.Module, observation: Observation) -> Mapping[str, Tensor]:
        """Return the tensors with which the dummies' upload is compared, by name."""
        return {k: observation.gradient[k] for k in parameters(model)}

    def couple(self, data: Tensor, victims: Tensor) -> tuple[Tensor, Tensor] | None:
        """Return a cost that ties the trials of a victim together, and its gradient.

        Args:
            data: the dummies of all running lanes, ``(A, n)``.
            victims: the victim of each lane, ``(A,)``.

        Returns:
            ``(A,)`` and ``(A, n)``; None if trials are independent.
        """
        return None

    def initial(
        self,
        model: nn.Module,
        observations: Mapping[int, Observation],
        should_stop: ShouldStop = never_stop,
    ) -> Mapping[int, Reconstruction]:
        """Return the initial reconstruction of some of the victims.

        It is the start of a victim's first trial, or its result if `is_final`.

        Args:
            model: the attacked model.
            observations: the victims by their position.
            should_stop: asked often.
        """
        return {}

    def is_final(self, initial: Reconstruction) -> bool:
        """Return whether an initial reconstruction is good enough to be the result."""
        return False
