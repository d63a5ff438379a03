"""The victims of one attack as one batched minimisation."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F  # noqa: N812  (the name that everybody knows)
from torch import Tensor, nn
from torch.func import grad_and_value, vmap

from fedsim.attacks.functional import count_classes
from fedsim.attacks.matching.client import Client
from fedsim.attacks.matching.memory import lanes_that_fit
from fedsim.attacks.matching.optimisers import Ended, Minimisation
from fedsim.attacks.matching.snapshots import Emergence
from fedsim.attacks.matching.space import one_hot, space_type
from fedsim.attacks.types import (
    Observation,
    OnProgress,
    Progress,
    Reconstruction,
    ShouldStop,
    Snapshot,
    Status,
)
from fedsim.core.seeds import derive

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fedsim.attacks.matching.attack import GradientMatching


class Problem:
    """Victims of one shape, one kind of label knowledge and one way of local training.

    A lane is a trial on a victim. Its unknowns are one row of numbers: the dummy data (see
    `Space`), then the label logits if the labels are unknown, then the logarithm of what the
    learning rate is to be multiplied by if that is a guess.

    Attributes:
        space: what the unknowns stand for.
        victims: their positions in the list given to ``run``.

    Args:
        attack: what to minimise, and how.
        model: the global model in the precision to work in.
        observations: the victims by their position in the list given to ``run``.
        labels: their labels; all of them None, or none.
        seed: of the random starts.
        dtype: of the reconstructions; that of the model if None.
    """

    def __init__(
        self,
        attack: GradientMatching,
        model: nn.Module,
        observations: Mapping[int, Observation],
        labels: Mapping[int, Tensor | None],
        seed: int,
        dtype: torch.dtype | None = None,
    ) -> None:
        first = next(iter(observations.values()))
        self._attack, self._model, self._seed = attack, model, seed
        self._observations, self._labels = observations, labels
        self._guesses: Mapping[int, Reconstruction] = {}
        self.victims = list(observations)
        self._training = first.training if attack.local_steps == "unroll" else None
        self.space = space_type(model)(
            model,
            first,
            dtype or next(model.parameters()).dtype,
            read_positions=attack.reads_positions,
        )
        self._spaces = {i: self.space.told_by(o) for i, o in observations.items()}
        self._shared = {
            i: {k: g for k, g in attack.shared(model, o).items() if k not in self.space.indirect}
            for i, o in observations.items()
        }
        names = self._shared[self.victims[0]].keys()
        more = names - dict(model.named_parameters()).keys()
        self._client = Client(model, self._training, names=names, statistics=bool(more))
        self._objective = attack.distance()
        self._priors = [p for p in attack.regularisers() if p.modality == self.space.modality]
        self._classes = count_classes(model, first.input_shape)
        self._batch = first.batch_size
        self._joint = labels[self.victims[0]] is None and not self.space.labelled
        self._logits = first.batch_size * self._classes if self._joint else 0
        guessed_rate = self._training is not None and not self._training.exact
        self._unknowns = self.space.size + self._logits + guessed_rate
        self._like = next(model.parameters()).detach()

    def solve(
        self,
        guesses: Mapping[int, Reconstruction],
        on_progress: OnProgress,
        should_stop: ShouldStop,
        *,
        points: Mapping[int, Tensor] | None = None,
        attack: GradientMatching | None = None,
    ) -> dict[int, Reconstruction]:
        """Run all trials and keep each victim's best by objective.

        Args:
            guesses: the first trial's start, for the victims that have one.
            on_progress: called after each evaluation.
            should_stop: asked before each evaluation.
            points: the first trial's start itself ``(n,)``, for the victims that have one.
            attack: the problem's, or one of another budget and optimiser.
        """
        attack, trials = attack or self._attack, self._attack.trials
        self._guesses = guesses
        best: dict[int, Reconstruction] = {}

        def victims_of(lanes: Tensor) -> list[int]:
            return [self.victims[lane // trials] for lane in lanes.tolist()]

        def shown(points: Tensor, lanes: Tensor) -> Tensor:
            return self.decode(points, victims_of(lanes)).cpu()

        emergence = Emergence(shown, attack.evaluations)
        batch = _Batch(self)

        def start(lane: int) -> Tensor:
            victim, trial = self.victims[lane // trials], lane % trials
            if trial == 0 and points is not None and victim in points:
                return points[victim].to(self._like)
            return self._start(victim, trial, guesses.get(victim) if trial == 0 else None)

        def observe(evaluation: int, lanes: Tensor, points: Tensor, values: Tensor) -> None:
            emergence.look(evaluation, lanes, points, values)
            on_progress(
                Progress(
                    victims=torch.tensor(victims_of(lanes)),
                    evaluation=evaluation,
                    max_evaluations=attack.evaluations,
                    objective=values.cpu(),
                    data=lambda: shown(points, lanes),
                )
            )

        def on_end(ended: Ended) -> None:
            victim = self.victims[ended.lane // trials]
            outcome = self._outcome(ended, victim, emergence.take(ended.lane))
            if victim not in best or _better(outcome, best[victim]):
                best[victim] = outcome

        Minimisation(
            batch.evaluate,
            start,
            count=len(self.victims) * trials,
            optimiser=attack.optimiser(),
            max_evaluations=attack.evaluations,
            on_end=on_end,
            capacity=self._capacity(),
            siblings=trials,
            patience=attack.patience,
            tolerance=attack.tolerance,
            project=self._project,
            observe=observe,
            should_stop=should_stop,
        ).run()
        unbegun = Reconstruction.failed("stopped before the first evaluation")
        return {victim: best.get(victim, unbegun) for victim in self.victims}

    def misfit(self, data: Tensor, labels: Tensor) -> float:
        """Return the relative objective of given data and labels for the first victim."""
        shared = self.shared_of(0)
        target = one_hot(labels.to(self._like.device), self._classes).to(self._like)
        inputs, target = self.space.truth(data.to(self._like.device), target)
        total = self._compare(inputs.to(self._like), target, shared, self.order_of(0), None)
        return float(total / self.scale({k: g[None] for k, g in shared.items()})[0])

    def values(self, victim: int, points: Tensor) -> Tensor:
        """Return the relative objectives of points ``(P, n)`` for a victim's first trial."""
        lane = self.victims.index(victim) * self._attack.trials
        shared = self.shared_of(lane)
        target, order = self.target_of(lane), self.order_of(lane)
        scale = self.scale({k: g[None] for k, g in shared.items()})[0]

        def value(point: Tensor) -> Tensor:
            return self.distance(point, shared, target, order)

        with torch.no_grad():
            found: Tensor = vmap(value, chunk_size=self._capacity())(points.to(self._like))
        return found / scale

    def decode(self, points: Tensor, victims: Sequence[int]) -> Tensor:
        """Return what points ``(A, n)`` of victims show, ``(A, batch_size, ...)``."""
        points = points[:, : self.space.size].to(self._like)
        spaces = [self._spaces[victim] for victim in victims]
        if all(space is self.space for space in spaces):
            return self.space.decode(points)
        lanes = zip(spaces, points, strict=True)
        return torch.cat([space.decode(point[None]) for space, point in lanes])

    def _capacity(self) -> int:
        training, size = self._training, self._batch
        steps, examples = 1, size
        if training is not None:
            steps, examples = training.steps, training.steps * training.batch_size
        return lanes_that_fit(
            self._model,
            (examples, *self.space.shape[1:]),
            points=self._unknowns * self._attack.optimiser().copies,
            steps=steps,
            memory_gb=self._attack.memory_gb,
        )

    def distance(
        self, point: Tensor, shared: dict[str, Tensor], target: Tensor, order: Tensor
    ) -> Tensor:
        """Return the objective of one lane at a point ``(n,)``."""
        inputs, labels = self.space.batch(point[: self.space.size])
        rest = point[self.space.size :]
        if self._joint:
            labels = torch.softmax(rest[: self._logits].view(-1, self._classes), dim=-1)
        stretch = rest[-1].exp() if len(rest) > self._logits else None
        return self._compare(inputs, target if labels is None else labels, shared, order, stretch)

    def _compare(
        self,
        inputs: Tensor,
        target: Tensor,
        shared: dict[str, Tensor],
        order: Tensor,
        stretch: Tensor | None,
    ) -> Tensor:
        total = self._objective(self._client.upload(inputs, target, order, stretch), shared)
        for prior in self._priors:
            total = total + prior(inputs)
        return total

    def couple(self, points: Tensor, lanes: Tensor) -> tuple[Tensor, Tensor] | None:
        """Return the cost that ties siblings together, and its gradient, if there is one."""
        victims = (lanes // self._attack.trials).to(points.device)
        tied = self._attack.couple(points[:, : self.space.size], victims)
        if tied is None:
            return None
        values, gradients = tied
        return values, F.pad(gradients, (0, self._unknowns - self.space.size))

    def shared_of(self, lane: int) -> dict[str, Tensor]:
        """Return what a lane is compared with."""
        victim = self.victims[lane // self._attack.trials]
        return {k: g.to(self._like) for k, g in self._shared[victim].items()}

    def scale(self, shared: dict[str, Tensor]) -> Tensor:
        """Return the lanes' objectives of an upload of zeros, ``(A,)``."""
        zero = {k: torch.zeros_like(g[0]) for k, g in shared.items()}
        scale: Tensor = vmap(self._objective, in_dims=(None, 0))(zero, shared)
        return scale.clamp(min=torch.finfo(scale.dtype).tiny)

    def target_of(self, lane: int) -> Tensor:
        """Return a lane's labels as rows ``(N, classes)``; zeros where they are unknown.

        Which label belongs to which local step cannot be known: each trial takes a guess of its
        own, and where there are no more of them the labels of the first in a random order.
        """
        victim, trial = self.victims[lane // self._attack.trials], lane % self._attack.trials
        labels = self._labels[victim]
        if labels is None:
            return self._like.new_zeros((self._batch, self._classes))
        guess = self._guesses.get(victim) if trial == 0 else None
        if guess is not None and guess.labels is not None:
            labels = guess.labels  # in the order of the guessed data
        guesses = labels if labels.ndim > 1 else labels[None]
        labels = guesses[trial if trial < len(guesses) else 0]
        if self._training is not None and trial >= len(guesses):
            generator = self.generator("labels", victim, trial)
            labels = labels[torch.randperm(len(labels), generator=generator)]
        return one_hot(labels.to(self._like.device), self._classes).to(self._like)

    def order_of(self, lane: int) -> Tensor:
        """Return which examples a lane's local steps take, ``(steps, batch)``.

        The first pass is in the dummies' own order; the order of later ones, which shuffle the
        examples anew, is guessed by each trial but the first.
        """
        if self._training is None:
            return torch.zeros((1, 1), dtype=torch.long, device=self._like.device)
        victim, trial = self.victims[lane // self._attack.trials], lane % self._attack.trials
        steps, size, count = self._training.steps, self._training.batch_size, self._batch
        generator = self.generator("order", victim, trial)
        order = torch.arange(count)
        while len(order) < steps * size:
            again = torch.randperm(count, generator=generator) if trial else torch.arange(count)
            order = torch.cat([order, again])
        return order[: steps * size].view(steps, size).to(self._like.device)

    def generator(self, purpose: str, victim: int, trial: int) -> torch.Generator:
        """Return a source of randomness for one purpose of a victim's trial."""
        return torch.Generator().manual_seed(derive(self._seed, purpose, victim, trial))

    def _start(self, victim: int, trial: int, guess: Reconstruction | None) -> Tensor:
        generator = self.generator("start", victim, trial)
        data = self.space.start(self._attack.start, generator)
        if guess is not None:
            data = self.space.guessed(guess, data)
        rest = torch.zeros(self._unknowns - self.space.size)
        if self._attack.start == "normal":
            rest[: self._logits] = torch.randn(self._logits, generator=generator)
        return torch.cat([data, rest]).to(self._like)

    def _project(self, points: Tensor) -> Tensor:
        data, rest = points[:, : self.space.size], points[:, self.space.size :]
        return torch.cat([self.space.project(data), rest], dim=1)

    def _outcome(self, ended: Ended, victim: int, history: list[Snapshot]) -> Reconstruction:
        if ended.status is Status.FAILED:
            return Reconstruction.failed("the objective was not finite at the start")
        if ended.evaluations == 0:
            return Reconstruction.failed("stopped before the first evaluation")
        data = self.decode(ended.point[None], [victim])[0].cpu()
        scores = self.target_of(ended.lane)
        if self._joint:
            scores = ended.point[self.space.size :][: self._logits].view(-1, self._classes)
        scale = float(self.scale({k: g[None] for k, g in self.shared_of(ended.lane).items()}))
        earlier = (
            replace(s, objective=s.objective * scale)
            for s in history
            if s.evaluation < ended.evaluations
        )
        return Reconstruction(
            data=data,
            labels=None if self.space.labelled else scores.argmax(-1).cpu(),
            objective=ended.value * scale,
            relative_objective=ended.value,
            status=ended.status,
            evaluations=ended.evaluations,
            trial=ended.lane % self._attack.trials,
            history=(*earlier, Snapshot(ended.evaluations, ended.value * scale, data)),
            point=ended.point.detach().cpu(),
        )


class _Batch:
    """What the running lanes are matched against, put together anew when they change."""

    def __init__(self, problem: Problem) -> None:
        self._problem = problem
        self._distance = vmap(grad_and_value(problem.distance))
        self._lanes: Tensor | None = None

    def evaluate(self, points: Tensor, lanes: Tensor) -> tuple[Tensor, Tensor]:
        """Return the lanes' relative objectives and their gradients."""
        if self._lanes is not lanes:
            self._gather(lanes)
        gradients, values = self._distance(points, self._shared, self._targets, self._orders)
        tied = self._problem.couple(points, lanes)
        if tied is not None:
            values, gradients = values + tied[0], gradients + tied[1]
        return values / self._scale, gradients / self._scale[:, None]

    def _gather(self, lanes: Tensor) -> None:
        numbers = lanes.tolist()
        rows = [self._problem.shared_of(lane) for lane in numbers]
        self._shared = {k: torch.stack([row[k] for row in rows]) for k in rows[0]}
        self._targets = torch.stack([self._problem.target_of(lane) for lane in numbers])
        self._orders = torch.stack([self._problem.order_of(lane) for lane in numbers])
        self._scale = self._problem.scale(self._shared)
        self._lanes = lanes


def _better(one: Reconstruction, other: Reconstruction) -> bool:
    """Compare by the attack's own objective; a failed trial loses to any other."""
    if one.status is Status.FAILED or other.status is Status.FAILED:
        return other.status is Status.FAILED
    return (one.objective, one.trial) < (other.objective, other.trial)
