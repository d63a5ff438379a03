"""The trials of each victim: their random starts, labels and orders."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.func import vmap

from fedsim.attacks.labels.known import target_rows
from fedsim.attacks.matching.problem import Against, Problem
from fedsim.attacks.matching.small_convolutions import small_convolutions
from fedsim.attacks.matching.tape import Replaying
from fedsim.attacks.types import Reconstruction
from fedsim.core.derivatives import grad_and_value
from fedsim.core.seeds import derive

FEW = 32
"""Lanes up to which their evaluation is recorded. Beyond, arithmetic takes most of its time."""


class Trials:
    """Numbers the lanes: lane = row of the victim x trials + trial.

    Args:
        problem: the victims.
        labels: their labels; None where they are unknown.
        seed: seed of the random starts.
        initial: initial reconstructions, for the victims that have one.
        points: the first trial's start itself ``(n,)``, for the victims that have one.
    """

    def __init__(
        self,
        problem: Problem,
        labels: Mapping[int, Tensor | None],
        seed: int,
        initial: Mapping[int, Reconstruction] | None = None,
        points: Mapping[int, Tensor] | None = None,
    ) -> None:
        self._problem, self._labels, self._seed = problem, labels, seed
        self._initial, self._points = initial or {}, points or {}
        self._each = problem.attack.trials

    def beginning_at(self, points: Mapping[int, Tensor]) -> Trials:
        """Return the same trials with the starts ``(n,)`` of some victims' first ones replaced."""
        return Trials(self._problem, self._labels, self._seed, self._initial, points)

    @property
    def count(self) -> int:
        """Number of lanes."""
        return len(self._problem.victims) * self._each

    def victim(self, lane: int) -> int:
        """Return the victim of a lane."""
        return self._problem.victims[lane // self._each]

    def victims(self, lanes: Tensor) -> list[int]:
        """Return the victims of lanes ``(A,)``."""
        return [self.victim(lane) for lane in lanes.tolist()]

    def start(self, lane: int) -> Tensor:
        """Return the first point ``(n,)`` of a lane."""
        problem, victim, trial = self._problem, self.victim(lane), lane % self._each
        if trial == 0 and victim in self._points:
            return self._points[victim].to(problem.like)
        generator = self.generator("start", victim, trial)
        data = problem.space.start(problem.attack.start, generator)
        initial = self._initial.get(victim) if trial == 0 else None
        if initial is not None:
            data = problem.space.from_initial(initial, data)
        residual = torch.zeros(problem.unknowns - problem.space.size)
        if problem.attack.start == "normal":
            residual[: problem.logits] = torch.randn(problem.logits, generator=generator)
        return torch.cat([data, residual]).to(problem.like)

    def against(self, lane: int) -> Against:
        """Return the fixed part of a lane's objective."""
        shared = self._problem.shared_of(self.victim(lane))
        return Against(shared, self.target(lane), self.order(lane))

    def labels(self, lane: int) -> Tensor | None:
        """Return a lane's labels, or None where they are unknown.

        The label of each local step's examples cannot be known: each trial takes a candidate of
        its own, and trials beyond the candidates take the first in a random order.
        """
        victim, trial = self.victim(lane), lane % self._each
        labels = self._labels[victim]
        if labels is None:
            return None
        initial = self._initial.get(victim) if trial == 0 else None
        if initial is not None and initial.labels is not None:
            labels = initial.labels  # in the order of the initial data
        single = labels.is_floating_point() or labels.ndim == 1
        candidates = labels[None] if single else labels
        labels = candidates[trial if trial < len(candidates) else 0]
        if self._problem.training is not None and trial >= len(candidates):
            generator = self.generator("labels", victim, trial)
            labels = labels[torch.randperm(len(labels), generator=generator)]
        return labels

    def target(self, lane: int) -> Tensor:
        """Return a lane's labels as the loss takes them; zeros where they are unknown.

        Where later passes have dummies of their own, there are labels for each: in the first order,
        and for trials beyond the first in random orders.
        """
        problem, labels = self._problem, self.labels(lane)
        victim, trial = self.victim(lane), lane % self._each
        if labels is None:
            return problem.like.new_zeros((problem.batch_size, problem.classes))
        rows = target_rows(labels, problem.classes, problem.like)
        if problem.passes == 1:
            return rows
        generator = self.generator("later labels", victim, trial)
        orders = [torch.randperm(len(rows), generator=generator) for _ in range(problem.passes - 1)]
        return torch.cat([rows, *(rows[order] if trial else rows for order in orders)])

    def order(self, lane: int) -> Tensor:
        """Return the examples that a lane's local steps take, ``(steps, batch)``.

        The first pass is in the dummies' own order; the order of later ones, which shuffle the
        examples anew, is drawn by each trial but the first. Rows of smaller steps are padded.
        """
        training, device = self._problem.training, self._problem.like.device
        if training is None:
            return torch.zeros((1, 1), dtype=torch.long, device=device)
        trial, count = lane % self._each, self._problem.batch_size
        generator = self.generator("order", self.victim(lane), trial)
        sizes = training.sizes(count)
        order = torch.arange(count * self._problem.passes)
        while len(order) < sum(sizes):
            again = torch.randperm(count, generator=generator) if trial else torch.arange(count)
            order = torch.cat([order, again])
        steps = torch.split(order[: sum(sizes)], sizes)
        return nn.utils.rnn.pad_sequence(list(steps), batch_first=True).to(device)

    def generator(self, purpose: str, victim: int, trial: int) -> torch.Generator:
        """Return a source of randomness for one purpose of a victim's trial."""
        return torch.Generator().manual_seed(derive(self._seed, purpose, victim, trial))


class RunningLanes:
    """The objectives of the running lanes, whose fixed parts are stacked anew when they change."""

    def __init__(self, problem: Problem, trials: Trials) -> None:
        self._problem, self._trials = problem, trials
        self.distance = vmap(grad_and_value(problem.distance))
        self._ways = {True: self._alone, False: self._together}  # by whether there is one lane
        self._replayed = {one: Replaying(way) for one, way in self._ways.items()}
        # A recording holds all that an evaluation computes, about twice as much as it needs.
        self._few = min(FEW, problem.room // 2)
        self._lanes: Tensor | None = None

    def evaluate(self, points: Tensor, lanes: Tensor) -> tuple[Tensor, Tensor]:
        """Return the lanes' relative objectives and their gradients."""
        if self._lanes is not lanes:
            self.gather(lanes)
        ways = self._replayed if len(points) <= self._few else self._ways
        gradients, values = ways[len(points) == 1](points, *self.against)
        tied = self._problem.couple(points, lanes)
        if tied is not None:
            values, gradients = values + tied[0], gradients + tied[1]
        return values / self.scale, gradients / self.scale[:, None]

    def _together(
        self, points: Tensor, shared: dict[str, Tensor], target: Tensor, order: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the gradients and values of several lanes."""
        with small_convolutions(points):
            gradients, values = self.distance(points, Against(shared, target, order))
        return gradients, values

    def _alone(
        self, points: Tensor, shared: dict[str, Tensor], target: Tensor, order: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the gradient and value of a single lane, in half the time without vmap."""
        against = Against({k: g[0] for k, g in shared.items()}, target[0], order[0])
        with torch.enable_grad(), small_convolutions(points):
            point = points[0].detach().requires_grad_()
            value = self._problem.distance(point, against)
            (gradient,) = torch.autograd.grad(value, point)
        return gradient[None], value.detach()[None]

    def gather(self, lanes: Tensor) -> None:
        """Stack the fixed parts of lanes ``(A,)``."""
        each = [self._trials.against(lane) for lane in lanes.tolist()]
        self.against = Against(
            {k: torch.stack([one.shared[k] for one in each]) for k in each[0].shared},
            torch.stack([one.target for one in each]),
            torch.stack([one.order for one in each]),
        )
        self.scale = self._problem.scale(self.against.shared)
        self._lanes = lanes
