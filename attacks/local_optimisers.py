"""Optimisers of a client's local training, as differentiable functions of its gradients."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

Weights = Mapping[str, Tensor]
State = dict[str, dict[str, Tensor]]
"""Moments by name, each by parameter name; empty before the first step."""


@dataclass(frozen=True)
class LocalOptimiser(ABC):
    """Optimiser of a client's local steps.

    The arithmetic is that of ``torch.optim``, without in-place operations and branches on values,
    so that an attack can differentiate through the steps and map them over lanes.

    Attributes:
        weight_decay: factor of the L2 penalty, >= 0.
    """

    is_linear: ClassVar[bool] = True
    """Whether an update is a weighted sum of the steps' gradients."""

    weight_decay: float = 0.0

    @abstractmethod
    def direction(
        self, weights: Weights, gradient: Weights, state: State, number: int
    ) -> tuple[dict[str, Tensor], State]:
        """Return the direction of a step, and the state after it.

        The step subtracts the learning rate times the direction from the weights.

        Args:
            weights: weights before the step.
            gradient: gradient at these weights.
            state: state after the step before.
            number: number of the step, from 1.
        """

    @abstractmethod
    def influences(self, rates: Sequence[float]) -> list[float]:
        """Return the weight of each step's gradient in the update, weight decay left out.

        Args:
            rates: learning rate of each step.
        """

    @property
    def constant_decay(self) -> float:
        """Factor of the received weights in the mean direction, to first order in the rate."""
        return self.weight_decay

    def trust(self, first: Weights) -> dict[str, Tensor] | None:
        """Return a factor on each entry of an update for its comparison, or None for 1.

        Args:
            first: gradient of the first step.
        """
        return None


@dataclass(frozen=True)
class SGD(LocalOptimiser):
    """Stochastic gradient descent as in ``torch.optim.SGD``.

    Attributes:
        momentum: factor of the velocity, in [0, 1).
        dampening: share of a gradient that does not enter the velocity.
        nesterov: whether to use Nesterov's momentum.
    """

    momentum: float = 0.0
    dampening: float = 0.0
    nesterov: bool = False

    def direction(
        self, weights: Weights, gradient: Weights, state: State, number: int
    ) -> tuple[dict[str, Tensor], State]:
        """Return the direction of a step, and the state after it."""
        step = decayed(gradient, weights, self.weight_decay)
        if self.momentum == 0:
            return step, state
        velocity = step
        if number > 1:
            kept, new = state["velocity"], 1 - self.dampening
            velocity = {k: self.momentum * kept[k] + new * g for k, g in step.items()}
        state = {"velocity": velocity}
        if not self.nesterov:
            return velocity, state
        return {k: g + self.momentum * velocity[k] for k, g in step.items()}, state

    def influences(self, rates: Sequence[float]) -> list[float]:
        """Return the weight of each step's gradient in the update, weight decay left out."""
        found = []
        for first in range(len(rates)):
            total, velocity = 0.0, 0.0
            for number in range(first, len(rates)):
                new = 1.0 if number == first else 0.0
                share = 1.0 if number == 0 else 1 - self.dampening
                velocity = self.momentum * velocity + share * new
                ahead = new + self.momentum * velocity if self.nesterov else velocity
                total += rates[number] * (ahead if self.momentum else new)
            found.append(total)
        return found


@dataclass(frozen=True)
class Adam(LocalOptimiser):
    """Adam and AdamW as in ``torch.optim`` (Kingma and Ba, arXiv 1412.6980; arXiv 1711.05101).

    Attributes:
        betas: decay rates of the two moments, in [0, 1).
        eps: addend to the root of the second moment, > 0.
        decoupled: whether weight decay acts on the weights and not on the gradient (AdamW).
    """

    is_linear: ClassVar[bool] = False

    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    decoupled: bool = False

    def direction(
        self, weights: Weights, gradient: Weights, state: State, number: int
    ) -> tuple[dict[str, Tensor], State]:
        """Return the direction of a step, and the state after it."""
        one, two = self.betas
        g = gradient if self.decoupled else decayed(gradient, weights, self.weight_decay)
        mean, square = state.get("mean", {}), state.get("square", {})
        mean = {k: (1 - one) * x + (one * mean[k] if mean else 0.0) for k, x in g.items()}
        square = {k: (1 - two) * x * x + (two * square[k] if square else 0.0) for k, x in g.items()}
        wide, long = 1 - one**number, (1 - two**number) ** 0.5
        step = {k: mean[k] / (root(square[k]) / long + self.eps) / wide for k in g}
        if self.decoupled:
            step = decayed(step, weights, self.weight_decay)
        return step, {"mean": mean, "square": square}

    def influences(self, rates: Sequence[float]) -> list[float]:
        """Return the steps' learning rates: each moves a weight by about its learning rate."""
        return list(rates)

    @property
    def constant_decay(self) -> float:
        """Factor of the received weights in the mean direction; 0 if it is inside the gradient."""
        return self.weight_decay if self.decoupled else 0.0

    def trust(self, first: Weights) -> dict[str, Tensor] | None:
        """Return the size of the first step's gradient.

        The first direction is the gradient's sign, which jumps at zero, so that a search has no
        slope to follow; later directions are continuous there. Times this factor, an entry of the
        update is continuous in the gradients. We know of no source for this.
        """
        return {k: g.abs() for k, g in first.items()}


def decayed(gradient: Weights, weights: Weights, factor: float) -> dict[str, Tensor]:
    """Return the gradient plus a multiple of the weights."""
    if factor == 0:
        return dict(gradient)
    return {k: g + factor * weights[k] for k, g in gradient.items()}


def root(square: Tensor) -> Tensor:
    """Return the square root, whose derivative is 0 at 0 instead of infinite."""
    positive = square > 0
    return square.where(positive, 1.0).sqrt().where(positive, 0.0)
