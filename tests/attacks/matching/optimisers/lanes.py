"""A minimisation whose ends are put together as tensors."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from fedsim.attacks.matching.optimisers import (
    LBFGS,
    Ended,
    Evaluate,
    Minimisation,
    Observe,
    Optimiser,
)
from fedsim.attacks.matching.optimisers.base import Project, anywhere
from fedsim.attacks.types import ShouldStop, Status, never_stop

Function = Callable[[Tensor], Tensor]


@dataclass(frozen=True, eq=False)
class Minimum:
    points: Tensor
    values: Tensor
    statuses: list[Status]
    evaluations: Tensor


def minimise(  # noqa: PLR0913  (what the class under test takes)
    evaluate: Evaluate,
    start: Tensor,
    *,
    max_evaluations: int,
    optimiser: Optimiser | None = None,
    history: int = 100,
    tolerance: float = -1.0,
    capacity: int = 1000,
    siblings: int = 1,
    patience: int | None = None,
    project: Project = anywhere,
    observe: Observe | None = None,
    should_stop: ShouldStop = never_stop,
) -> Minimum:
    ended: dict[int, Ended] = {}

    def on_end(end: Ended) -> None:
        assert end.lane not in ended
        ended[end.lane] = end

    Minimisation(
        evaluate,
        lambda lane: start[lane],
        count=len(start),
        optimiser=optimiser or LBFGS(history),
        max_evaluations=max_evaluations,
        on_end=on_end,
        capacity=capacity,
        siblings=siblings,
        patience=patience,
        tolerance=tolerance,
        project=project,
        observe=observe,
        should_stop=should_stop,
    ).run()
    lanes = sorted(ended)
    return Minimum(
        torch.stack([ended[lane].point for lane in lanes]) if lanes else start[:0],
        torch.tensor([ended[lane].value for lane in lanes], dtype=torch.float64),
        [ended[lane].status for lane in lanes],
        torch.tensor([ended[lane].evaluations for lane in lanes], dtype=torch.long),
    )


def evaluator(function: Function) -> Evaluate:
    """Evaluate one function, of points ``(A, n)``, on every lane."""

    def evaluate(points: Tensor, lanes: Tensor) -> tuple[Tensor, Tensor]:
        points = points.clone().requires_grad_()
        values = function(points)
        [gradients] = torch.autograd.grad(values.sum(), points)
        return values.detach(), gradients

    return evaluate


def rosenbrock(points: Tensor) -> Tensor:
    x, y = points[:, :-1], points[:, 1:]
    return (100 * (y - x**2) ** 2 + (1 - x) ** 2).sum(dim=1)


def starts(lanes: int, size: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(lanes, size, generator=generator, dtype=torch.float64)


class Quadratics:
    """A convex quadratic for each lane, with eigenvalues from 1 to 100 and a known minimum."""

    def __init__(self, lanes: int, size: int) -> None:
        self.minima = starts(lanes, size, seed=1)
        turns = torch.linalg.qr(starts(lanes * size, size, seed=2).view(lanes, size, size)).Q
        self.matrices = turns * torch.logspace(0, 2, size, dtype=torch.float64) @ turns.mT

    def __call__(self, points: Tensor, lanes: Tensor) -> tuple[Tensor, Tensor]:
        offsets = points - self.minima[lanes]
        gradients = (self.matrices[lanes] @ offsets[:, :, None]).squeeze(-1)
        return (offsets * gradients).sum(dim=1) / 2, gradients
