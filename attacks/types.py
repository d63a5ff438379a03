"""The inputs and outputs of an attack."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

import torch
from torch import Tensor, nn

from fedsim.attacks.assumptions import Loss, Normalisation, Numbers, Scale
from fedsim.attacks.local_optimisers import SGD, LocalOptimiser
from fedsim.attacks.local_training import LocalTraining
from fedsim.core.errors import AttackError
from fedsim.core.losses import LossOfClasses, mean_cross_entropy

UNCLIPPED = 0.999
"""Share of the clipping norm below which a gradient was not clipped: clipped ones have the norm."""


@dataclass(frozen=True, eq=False)
class Observation:
    """All that an adversary holds about one upload, besides the model that it answers.

    The client's loss and the range of its data are assumptions, and can be others: ``loss``,
    ``value_range``, ``normalisation``.

    Attributes:
        gradient: the shared gradient (of the mean loss over the batch), by parameter name.
        input_shape: shape of one example, ``(C, H, W)`` for images, ``(L,)`` for texts that were
            padded to L tokens.
        batch_size: how many examples the gradient was computed on.
        labels: the batch's labels where the threat model makes them public; None where the
            adversary must find them. Classes ``(batch_size,)``, which the loss gets as one-hot
            rows; or the loss's target as it is ``(batch_size, ...)``, such as the numbers of a
            regression or soft labels.
        training: the local training behind an update of several steps, whose mean gradient
            ``gradient`` then is; None for the gradient of one batch.
        statistics: mean and variance of the batch's activations in front of each BatchNorm
            layer, where they are shared: by ``<layer>.running_mean`` and
            ``<layer>.running_var``.
        lengths: of texts, how many tokens each has, special ones included; sorted, as their order
            in the batch cannot be known. None if they are all as long as the batch.
        loss: the client's loss of a batch, the mean over its examples. Label rules that hold for
            the mean cross-entropy alone are not applied to another.
        value_range: least and greatest value of the data, each a number, one for each channel, or
            a tensor that broadcasts to an example. Reconstructions lie in it. Not for texts.
        normalisation: what the client does to data of that range before the model, unless the
            model itself does it.
        weight_unit: units of the gradient per unit of the weights, if it is a difference of
            weights, whose rounding then remains in it; None for the gradient itself.
        resolution: step of the multiples to which an aggregation rounds each upload, in units of
            the gradient; 0 for floating-point uploads.
    """

    gradient: Mapping[str, Tensor]
    input_shape: tuple[int, ...]
    batch_size: int = 1
    labels: Tensor | None = None
    training: LocalTraining | None = None
    statistics: Mapping[str, Tensor] | None = None
    lengths: tuple[int, ...] | None = None
    loss: Loss = mean_cross_entropy
    value_range: tuple[Numbers, Numbers] = (0.0, 1.0)
    normalisation: Normalisation | None = None
    weight_unit: float | None = None
    resolution: float = 0.0

    @property
    def is_classification(self) -> bool:
        """Whether the loss is the mean cross-entropy of logits, which label rules rely on."""
        return self.loss is mean_cross_entropy

    @property
    def has_classes(self) -> bool:
        """Whether the loss is another one than that, whose targets are classes too."""
        return isinstance(self.loss, LossOfClasses)

    @property
    def scale(self) -> Scale:
        """The maps between the unit box, the data, and the model's inputs.

        Raises:
            AttackError: the range or the normalisation does not fit the examples.
        """
        return Scale.of(self.input_shape, self.value_range, self.normalisation)

    @classmethod
    def from_grads(
        cls,
        model: nn.Module,
        *,
        input_shape: tuple[int, ...],
        batch_size: int = 1,
        labels: Tensor | None = None,
        lengths: tuple[int, ...] | None = None,
        loss: Loss = mean_cross_entropy,
        value_range: tuple[Numbers, Numbers] = (0.0, 1.0),
        normalisation: Normalisation | None = None,
    ) -> Observation:
        """Return the observation of the gradients that ``loss.backward()`` has left in a model.

        Args:
            model: after the backward pass of one batch. Its gradients are copied.
            input_shape: shape of one example.
            batch_size: examples of the batch.
            labels: public labels.
            lengths: sorted lengths of texts.
            loss: the client's loss.
            value_range: least and greatest value of the data.
            normalisation: normalisation before the model.

        Raises:
            AttackError: a trained parameter has no gradient.
        """
        trained = {k: p for k, p in model.named_parameters() if p.requires_grad}
        gradient = {k: p.grad.detach().clone() for k, p in trained.items() if p.grad is not None}
        missing = [name for name in trained if name not in gradient]
        if missing:
            raise AttackError(
                f"the parameter {missing[0]!r} has no gradient: expected a model after "
                "loss.backward(), before the gradients are set to zero"
            )
        assumed = (loss, value_range, normalisation)
        return cls(gradient, input_shape, batch_size, labels, None, None, lengths, *assumed)

    @classmethod
    def from_update(
        cls,
        before: Mapping[str, Tensor],
        after: Mapping[str, Tensor],
        *,
        learning_rate: float,
        local_steps: int = 1,
        input_shape: tuple[int, ...],
        batch_size: int = 1,
        examples: int | None = None,
        exact: bool = True,
        optimiser: LocalOptimiser = SGD(),  # noqa: B008  (frozen)
    ) -> Observation:
        """Return the observation of a client that uploads its weights after local steps.

        See `from_training` for passes whose last batch is smaller.

        Args:
            before: the weights that the client received, by parameter name.
            after: the weights that it sent back.
            learning_rate: the client's learning rate.
            local_steps: number of local steps.
            input_shape: shape of one example.
            batch_size: examples per local step.
            examples: number of different examples of the client, if several passes use them
                repeatedly; all of them are the observation's batch.
            exact: whether the learning rate is known or only guessed.
            optimiser: the client's optimiser; by default plain SGD.

        Raises:
            AttackError: the learning rate, the number of steps or of examples is invalid, or a
                tensor is missing or has another shape.
        """
        if not 0 < learning_rate < math.inf or local_steps < 1:
            raise AttackError(
                f"an update needs a positive learning rate and at least one local step, "
                f"not {learning_rate} and {local_steps}"
            )
        taken = batch_size * local_steps
        if examples is None:
            examples = taken
        if not batch_size <= examples <= taken:
            raise AttackError(
                f"{local_steps} steps of {batch_size} examples cannot have used {examples} "
                f"different ones: expected {batch_size} to {taken}"
            )
        training = LocalTraining(learning_rate, local_steps, batch_size, exact, optimiser)
        return cls.from_training(
            before, after, training, input_shape=input_shape, examples=examples
        )

    @classmethod
    def from_training(
        cls,
        before: Mapping[str, Tensor],
        after: Mapping[str, Tensor],
        training: LocalTraining,
        *,
        input_shape: tuple[int, ...],
        examples: int,
    ) -> Observation:
        """Return the observation of a client that uploads its weights after a local training.

        After one step of SGD the gradient is ``(before - after) / learning_rate``, exactly. After
        several it is the mean of the steps' gradients, weighted as momentum and the learning rates
        weight them, each taken at its own weights: attacks unroll the steps (`LocalTraining`);
        matching the mean as the gradient of one large batch at the weights ``before`` is an
        approximation. The part of weight decay is subtracted, as if the weights had not moved.

        A step whose gradient is shorter than the norm for clipping was not clipped.

        After steps of Adam it is the mean direction, ``(before - after) / (rate * steps)``, whose
        entries are about 1 where the gradient's sign is the same in all steps: no mean of
        gradients. Its sign is about that of the mean gradient, its size is not.

        Args:
            before: the weights that the client received, by parameter name.
            after: the weights that it sent back.
            training: the local training.
            input_shape: shape of one example.
            examples: number of different examples.

        Raises:
            AttackError: a tensor is missing or has another shape.
        """
        unit, decay = training.unit, training.optimiser.constant_decay
        gradient = {}
        for name, old in before.items():
            new = after.get(name)
            if new is None or new.shape != old.shape:
                found = "nothing" if new is None else f"shape {tuple(new.shape)}"
                raise AttackError(
                    f"update of {name!r}: expected shape {tuple(old.shape)}, found {found}"
                )
            gradient[name] = (old - new) * unit
            if decay:
                gradient[name] -= decay * old
        single = training.steps == 1 and training.exact and training.optimiser.is_linear
        if single and training.max_norm is not None:
            norm = torch.stack([(g.double() ** 2).sum() for g in gradient.values()]).sum().sqrt()
            single = float(norm) < UNCLIPPED * training.max_norm
        return cls(
            gradient,
            input_shape,
            examples,
            training=None if single else training,
            weight_unit=unit,
        )


@dataclass(frozen=True)
class TruthFit:
    """Fit of the private batch itself to an upload, under an attacker's own equations.

    Attributes:
        relative_objective: the attack's relative objective of the private batch, priors included.
        explained: whether the upload is one that the attacker's equations, with the uncertainty
            that they model, expect of the private batch.
        rounding: relative objective that floating-point arithmetic alone leaves to the private
            batch on this network, for this upload.
    """

    relative_objective: float
    explained: bool
    rounding: float


class Status(StrEnum):
    """Reason for the end of an attack on one victim."""

    CONVERGED = "converged"  # the search's objective fell below the tolerance
    CLAMPED = "clamped"  # it did so outside the range; the returned data do not explain the upload
    EXHAUSTED = "exhausted"  # the evaluations ran out
    STALLED = "stalled"  # no further step improved the objective
    STOPPED = "stopped"  # the caller stopped the attack, or the time ran out
    ABANDONED = "abandoned"  # another trial on the same victim was far ahead
    COMPUTED = "computed"  # in closed form; the objective measures the fit
    FAILED = "failed"  # without a reconstruction: see `Reconstruction.error`


@dataclass(frozen=True, eq=False)
class Snapshot:
    """One moment of an attack: how the reconstruction emerged.

    Attributes:
        evaluation: how many times the objective had been evaluated for this trial.
        objective: its value then.
        data: the dummy data, ``(batch_size, *input_shape)``: clamped to the range of the data, or
            the nearest tokens.
    """

    evaluation: int
    objective: float
    data: Tensor


@dataclass(frozen=True, eq=False)
class Reconstruction:
    """The result of an attack on one observation.

    Attributes:
        data: the reconstructed batch ``(batch_size, *input_shape)`` in the range of the data, or
            tokens, on the CPU; None when the attack failed. An attacker of mixtures returns more
            examples: all that were mixed.
        labels: the labels that the attack found ``(batch_size,)``, or was given; rows of floating
            targets ``(batch_size, outputs)`` under a loss whose targets are not classes.
        targets: probabilities of the classes, or such rows ``(batch_size, outputs)``, if the attack
            optimised them; None otherwise.
        objective: the attack's own final objective: that of the solution; that of these data where
            the solution explains the upload from outside the range of the data, and they do not.
        relative_objective: ``objective`` divided by the objective of a zero gradient: 1 means no
            better than zeros, 0 a perfect match.
        status: reason for the end of the attack.
        evaluations: evaluations of the objective spent on the chosen trial.
        trial: which random start was chosen, by its objective.
        history: how the chosen trial emerged, earliest first.
        error: the reason when the attack failed.
        point: the solution itself, for an attack that goes on from there; None if it does not
            optimise.
    """

    data: Tensor | None
    labels: Tensor | None
    objective: float
    relative_objective: float
    status: Status
    evaluations: int = 0
    trial: int = 0
    history: tuple[Snapshot, ...] = ()
    error: str | None = None
    point: Tensor | None = field(default=None, repr=False)
    targets: Tensor | None = None

    @classmethod
    def failed(cls, reason: str) -> Reconstruction:
        """Return a failed reconstruction with its reason."""
        nan = float("nan")
        return cls(None, None, nan, nan, Status.FAILED, error=reason)


@dataclass(frozen=True, eq=False)
class Progress:
    """The state of a running attack.

    Attributes:
        victims: position in the list given to ``run`` of each lane's victim, ``(lanes,)``.
        evaluation: evaluations spent so far by each of these lanes.
        max_evaluations: evaluations that each lane may spend.
        objective: relative objective of each lane, ``(lanes,)``.
        data: a function that returns the lanes' data ``(lanes, batch_size, *input_shape)``;
            called only if the data are needed.
    """

    victims: Tensor
    evaluation: int
    max_evaluations: int
    objective: Tensor
    data: Callable[[], Tensor] = field(repr=False)


OnProgress = Callable[[Progress], None]
ShouldStop = Callable[[], bool]


def never_stop() -> bool:
    """Never stop an attack early."""
    return False


def ignore_progress(progress: Progress) -> None:
    """Ignore progress."""
