"""Local training: the steps behind a model update."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from fedsim.attacks.local_optimisers import SGD, LocalOptimiser, root
from fedsim.core.local_steps import reuses

CLIP_EPS = 1e-6
"""Addend to the norm in ``torch.nn.utils.clip_grad_norm_``."""


@dataclass(frozen=True)
class LocalTraining:
    """Local training: the optimiser's steps behind a model update.

    One step per mini-batch. The examples are used in order, and from the start again when they
    have run out: a client with as many examples as steps x batch size makes one pass. Which
    example comes when is not known to the adversary, and for one pass it need not be, since its
    dummies are as free as the examples were. Clients that shuffle again before each pass do not
    repeat the first order: trials beyond the first try other ones.

    Attributes:
        learning_rate: learning rate of the optimiser.
        steps: number of steps.
        batch_size: examples in each step.
        exact: whether the learning rate is known; if not, it is an initial value that an attack
            adjusts.
        optimiser: the client's optimiser; by default plain SGD.
        epochs: number of whole passes over the examples, the last batch of each may be smaller;
            None if batches go on from one pass to the next, so that all are full.
        factors: factor on the learning rate in each step; None for 1.
        max_norm: L2 norm to which the client clips the gradient of a step; None for no clipping.
        proximal_mu: weight of FedProx's proximal term.
    """

    learning_rate: float
    steps: int
    batch_size: int
    exact: bool = True
    optimiser: LocalOptimiser = SGD()  # noqa: RUF009  (frozen)
    epochs: int | None = None
    factors: tuple[float, ...] | None = None
    max_norm: float | None = None
    proximal_mu: float = 0.0

    @property
    def rates(self) -> list[float]:
        """Learning rate of each step."""
        factors = self.factors or (1.0,) * self.steps
        return [self.learning_rate * factor for factor in factors]

    def gradient(
        self,
        gradient: Mapping[str, Tensor],
        weights: Mapping[str, Tensor],
        received: Mapping[str, Tensor],
    ) -> Mapping[str, Tensor]:
        """Return the gradient that the optimiser gets: with the proximal term, and clipped.

        As in ``torch.nn.utils.clip_grad_norm_``, without branches on values.

        Args:
            gradient: of the batch, by parameter name.
            weights: weights before the step.
            received: weights before the first step.
        """
        if self.proximal_mu:
            gradient = {
                k: g + self.proximal_mu * (weights[k] - received[k]) for k, g in gradient.items()
            }
        if self.max_norm is None:
            return gradient
        norm = root(torch.stack([(g**2).sum() for g in gradient.values()]).sum())
        share = (self.max_norm / (norm + CLIP_EPS)).clamp(max=1)
        return {k: share * g for k, g in gradient.items()}

    @property
    def unit(self) -> float:
        """Units of the mean gradient per unit of the weights' change."""
        return 1 / sum(self.optimiser.influences(self.rates))

    def way(
        self, before: Mapping[str, Tensor], gradient: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """Return the change of the weights behind an observation's gradient.

        Args:
            before: the weights that the client received, by name.
            gradient: see `Observation.from_training`.
        """
        decay = self.optimiser.constant_decay
        return {k: -(gradient[k] + decay * w) / self.unit for k, w in before.items()}

    def sizes(self, examples: int) -> list[int]:
        """Return the number of examples in each step.

        Args:
            examples: number of different examples.
        """
        if self.epochs is None:
            return [self.batch_size] * self.steps
        size = min(self.batch_size, examples)
        one = [min(size, examples - begin) for begin in range(0, examples, size)]
        return one * self.epochs

    def reuses(self, examples: int) -> bool:
        """Return whether steps use examples again in an order that no adversary knows.

        Args:
            examples: number of different examples.
        """
        return reuses(sum(self.sizes(examples)), examples, self.batch_size)

    @classmethod
    def of_epochs(
        cls,
        learning_rate: float,
        epochs: int,
        batch_size: int,
        examples: int,
        *,
        exact: bool = True,
        optimiser: LocalOptimiser = SGD(),  # noqa: B008  (frozen)
    ) -> LocalTraining:
        """Return the training of whole passes over a number of examples.

        Args:
            learning_rate: learning rate of the optimiser.
            epochs: number of passes.
            batch_size: examples in each step, except the last of a pass.
            examples: number of different examples.
            exact: whether the learning rate is known.
            optimiser: the client's optimiser.
        """
        size = min(batch_size, examples)
        steps = epochs * -(-examples // size)
        return cls(learning_rate, steps, size, exact, optimiser, epochs)
