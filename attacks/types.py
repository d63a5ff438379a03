"""What goes into an attack and what comes out of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from torch import Tensor

from fedsim.core.errors import AttackError


@dataclass(frozen=True)
class LocalTraining:
    """How a client came from the weights that it received to those that it sent back.

    Plain SGD, one step per mini-batch. The examples are used in order, and from the start
    again when they have run out: a client with as many examples as steps x batch size makes
    one pass. Which example comes when is not known to the adversary, and for one pass it need
    not be, since its dummies are as free as the examples were.

    Attributes:
        learning_rate: of SGD.
        steps: number of steps.
        batch_size: examples in each step.
        exact: whether the learning rate is known; if not, it is a first guess that an attack
            adjusts.
    """

    learning_rate: float
    steps: int
    batch_size: int
    exact: bool = True


@dataclass(frozen=True, eq=False)
class Observation:
    """What an adversary holds about one upload, besides the model that it answers.

    Attributes:
        gradient: the shared gradient (of the mean loss over the batch), by parameter name.
        input_shape: shape of one example, ``(C, H, W)`` for images, ``(L,)`` for texts that were
            padded to L tokens.
        batch_size: how many examples the gradient was computed on.
        labels: the batch's labels ``(batch_size,)`` where the threat model makes them
            public; None where the adversary must find them.
        training: the local training behind an update of several steps, whose mean gradient
            ``gradient`` then is; None for the gradient of one batch.
        statistics: mean and variance of the batch's activations in front of each BatchNorm
            layer, where they are shared: by ``<layer>.running_mean`` and
            ``<layer>.running_var``.
        lengths: of texts, how many tokens each has, special ones included; sorted, as their order
            in the batch cannot be known. None if they are all as long as the batch.
    """

    gradient: Mapping[str, Tensor]
    input_shape: tuple[int, ...]
    batch_size: int = 1
    labels: Tensor | None = None
    training: LocalTraining | None = None
    statistics: Mapping[str, Tensor] | None = None
    lengths: tuple[int, ...] | None = None

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
    ) -> Observation:
        """Return the observation of a client that uploads its weights after local SGD.

        After one step of plain SGD the gradient is ``(before - after) / learning_rate``,
        exactly. After several it is the mean of the steps' gradients, each taken at its own
        weights: attacks unroll the steps (`LocalTraining`); matching the mean as the gradient
        of one large batch at the weights ``before`` is an approximation.

        Args:
            before: the weights that the client received, by parameter name.
            after: the weights that it sent back.
            learning_rate: the client's learning rate.
            local_steps: how many steps it took.
            input_shape: shape of one example.
            batch_size: examples per local step.
            examples: how many different examples the client has used, where several passes
                make them fewer than the steps take; the observation's batch is all of them.
            exact: whether the learning rate is known, and not guessed.

        Raises:
            AttackError: the learning rate, the number of steps or that of examples cannot be,
                or a tensor is missing or of another shape.
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
        gradient = {}
        for name, old in before.items():
            new = after.get(name)
            if new is None or new.shape != old.shape:
                found = "nothing" if new is None else f"shape {tuple(new.shape)}"
                raise AttackError(
                    f"update of {name!r}: expected shape {tuple(old.shape)}, found {found}"
                )
            gradient[name] = (old - new) / (learning_rate * local_steps)
        training = LocalTraining(learning_rate, local_steps, batch_size, exact)
        single = local_steps == 1 and exact
        return cls(gradient, input_shape, examples, training=None if single else training)


class Status(StrEnum):
    """Why an attack on one victim ended."""

    CONVERGED = "converged"  # the objective fell below the tolerance
    EXHAUSTED = "exhausted"  # the evaluations ran out
    STALLED = "stalled"  # no step improved the objective any more
    STOPPED = "stopped"  # the caller asked for an end, or time ran out
    ABANDONED = "abandoned"  # another trial on the same victim was far ahead
    COMPUTED = "computed"  # in closed form; the objective says how well it fits
    FAILED = "failed"  # there is no reconstruction: see `Reconstruction.error`


@dataclass(frozen=True, eq=False)
class Snapshot:
    """One moment of an attack: how the reconstruction emerged.

    Attributes:
        evaluation: how many times the objective had been evaluated for this trial.
        objective: its value then.
        data: the dummy data, ``(batch_size, *input_shape)``: pictures clamped to [0, 1], or the
            tokens that are nearest.
    """

    evaluation: int
    objective: float
    data: Tensor


@dataclass(frozen=True, eq=False)
class Reconstruction:
    """What an attack returns for one observation.

    Attributes:
        data: the reconstructed batch ``(batch_size, *input_shape)``, pictures in [0, 1] or tokens,
            on the CPU; None when the attack failed.
        labels: the labels that the attack found or was given, ``(batch_size,)``.
        objective: the attack's own final objective.
        relative_objective: the same divided by the objective of a zero gradient, so that 1
            is as good as knowing nothing and 0 is a perfect match.
        status: why the attack ended.
        evaluations: evaluations of the objective spent on the chosen trial.
        trial: which random start was chosen, by its objective.
        history: how the chosen trial emerged, earliest first.
        error: why there is no reconstruction, when there is none.
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

    @classmethod
    def failed(cls, reason: str) -> Reconstruction:
        """Return the record of an attack that produced nothing."""
        nan = float("nan")
        return cls(None, None, nan, nan, Status.FAILED, error=reason)


@dataclass(frozen=True, eq=False)
class Progress:
    """A look at a running attack.

    Attributes:
        victims: position in the list given to ``run`` of each lane's victim, ``(lanes,)``.
        evaluation: evaluations spent so far by each of these lanes.
        max_evaluations: evaluations that each lane may spend.
        objective: relative objective of each lane, ``(lanes,)``.
        data: a function that returns the lanes' data ``(lanes, batch_size, *input_shape)``;
            called only by those who want to look.
    """

    victims: Tensor
    evaluation: int
    max_evaluations: int
    objective: Tensor
    data: Callable[[], Tensor] = field(repr=False)


OnProgress = Callable[[Progress], None]
ShouldStop = Callable[[], bool]


def never_stop() -> bool:
    """Let an attack run to its own end."""
    return False


def ignore_progress(progress: Progress) -> None:
    """Look away."""
