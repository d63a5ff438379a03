"""Adam on the sign of the gradient."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from fedsim.attacks.matching.optimisers.base import Lanes, Optimiser, Project

BETAS = (0.9, 0.999)
EPSILON = 1e-8
DROPS = (3 / 8, 5 / 8, 7 / 8)
"""Shares of the budget after which the step size falls to a tenth."""


@dataclass(frozen=True)
class SignedAdam(Optimiser):
    """Adam on the sign of the gradient, with a falling step size, inside a box.

    Geiping et al., Inverting Gradients, NeurIPS 2020 (arXiv 2003.14053), section 4 and the
    supplementary material: the sign of the gradient goes into Adam, the step size falls by ten
    after 3/8, 5/8 and 7/8 of the steps, and the data are put back into their box after each.
    A lane returns its best point by objective, while the paper takes the last.

    Args:
        step_size: step size of Adam.
        signed: whether to use only the gradient's sign; otherwise plain Adam.
        drops: shares of the budget after which the step size falls to a tenth.
    """

    step_size: float = 0.1
    signed: bool = True
    drops: tuple[float, ...] = DROPS

    def lanes(self, like: Tensor, size: int, budget: int, project: Project) -> Lanes:
        """Return a state without lanes."""
        return _AdamLanes(like.new_zeros((0, size)), self, budget, project)

    @property
    def copies(self) -> int:
        """Return the most memory that a lane takes, in points."""
        return 12


class _AdamLanes(Lanes):
    _ROWS = ("point", "value", "here", "mean", "square", "steps", "broken")

    def __init__(
        self, nothing: Tensor, optimiser: SignedAdam, budget: int, project: Project
    ) -> None:
        none = nothing.new_zeros(0)
        self._optimiser, self._budget, self._project = optimiser, budget, project
        self.point, self.value = nothing, none
        self.here = nothing  # the lane's current point, which may not be its best
        self.mean = nothing
        self.square = nothing
        self.steps = none
        self.broken = none.bool()

    def admit(self, starts: Tensor) -> None:
        zero, still = starts.new_zeros(len(starts)), torch.zeros_like(starts)
        starts = self._project(starts)
        new = (starts, zero + torch.inf, starts, still, still, zero, zero.bool())
        for name, rows in zip(self._ROWS, new, strict=True):
            setattr(self, name, torch.cat([getattr(self, name), rows]))

    def keep(self, rows: Tensor) -> None:
        for name in self._ROWS:
            setattr(self, name, getattr(self, name)[rows])

    def trial(self) -> Tensor:
        return self.here

    def update(self, value: Tensor, gradient: Tensor) -> None:
        finite = torch.isfinite(value) & torch.isfinite(gradient).all(dim=1)
        better = finite & (value < self.value)
        self.point = torch.where(better[:, None], self.here, self.point)
        self.value = torch.where(better, value, self.value)
        # After a value that is not a number there is no direction to go on in.
        self.broken = self.broken | ~finite
        gradient = torch.where(self.broken[:, None], 0.0, gradient)
        self._step(gradient.sign() if self._optimiser.signed else gradient)

    def stuck(self) -> Tensor:
        return self.broken

    def _step(self, gradient: Tensor) -> None:
        first, second = BETAS
        passed = self.steps / self._budget
        self.steps = self.steps + 1
        self.mean = first * self.mean + (1 - first) * gradient
        self.square = second * self.square + (1 - second) * gradient**2
        mean = self.mean / (1 - first**self.steps)[:, None]
        square = self.square / (1 - second**self.steps)[:, None]
        size = torch.full_like(passed, self._optimiser.step_size)
        for share in self._optimiser.drops:
            size = torch.where(passed >= share, 0.1 * size, size)
        self.here = self._project(self.here - size[:, None] * mean / (square.sqrt() + EPSILON))
