"""Gradient matching: the one loop behind DLG and its successors.

An attack of this family sets an objective, a start and a label rule, and inherits the rest:
victims x trials are evaluated as one batch, each lane stops on its own, and the lanes are
split into chunks that fit the memory.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import field
from typing import Annotated, Literal

import torch
import torch.nn.functional as F  # noqa: N812  (the name that everybody knows)
from pydantic import Field
from torch import Tensor, nn
from torch.func import grad, grad_and_value, vmap

from attacks.base import Attack, attack_parameters
from attacks.emergence import Emergence
from attacks.functional import as_function, count_classes, parameters
from attacks.labels import check_range
from attacks.lbfgs import Minimum, minimise
from attacks.memory import lanes_that_fit
from attacks.objectives import Objective, SquaredDistance
from attacks.types import (
    Observation,
    OnProgress,
    Progress,
    Reconstruction,
    ShouldStop,
    Snapshot,
    Status,
)
from fedsim.errors import AttackError
from fedsim.seeds import derive


@attack_parameters
class GradientMatching(Attack):
    """Adjust dummy data until their gradient equals the shared one.

    The optimiser is L-BFGS with a safeguarded step for each lane (`attacks.lbfgs`).
    """

    evaluations: Annotated[
        int, Field(ge=1, description="objective evaluations that each trial may spend")
    ] = 3000
    trials: Annotated[
        int, Field(ge=1, description="random starts per victim; the lowest objective wins")
    ] = 1
    start: Annotated[
        Literal["grey", "normal"],
        Field(description="first dummy: mid-grey with a little noise, or N(0, 1)"),
    ] = "grey"
    history: Annotated[
        int, Field(ge=1, description="evaluations that L-BFGS remembers curvature from")
    ] = 100
    tolerance: Annotated[
        float, Field(ge=0, description="relative objective at which a trial has converged")
    ] = 1e-10
    memory_gb: Annotated[
        float, Field(gt=0, description="memory for one chunk of trials, in GB")
    ] = 1.0
    objective: Objective = field(default=SquaredDistance(), repr=False)

    @abstractmethod
    def _labels(self, model: nn.Module, observation: Observation) -> Tensor | None:
        """Return the batch's labels if this attack knows or infers them, else None.

        None makes the labels part of what is optimised.

        Raises:
            AttackError: the labels should be inferred and cannot be.
        """

    def misfit(
        self, model: nn.Module, observation: Observation, data: Tensor, labels: Tensor
    ) -> float:
        """Return this attack's relative objective of a batch that somebody else supplies."""
        return _Search(self, model, {0: observation}, {0: labels}, seed=0).misfit(data)

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
        labels: dict[int, Tensor | None] = {}
        classes = count_classes(model, next(iter(observations.values())).input_shape)
        for i, observation in observations.items():
            try:
                known = self._labels(model, observation)
                check_range(known, classes)
                labels[i] = known
            except AttackError as error:
                results[i] = Reconstruction.failed(str(error))
        if labels:
            matched = {i: observations[i] for i in labels}
            search = _Search(self, model, matched, labels, seed)
            results |= search.solve(on_progress, should_stop)
        return results


class _Search:
    """Victims of one shape and the trials on them."""

    def __init__(
        self,
        attack: GradientMatching,
        model: nn.Module,
        observations: dict[int, Observation],
        labels: dict[int, Tensor | None],
        seed: int,
    ) -> None:
        first = next(iter(observations.values()))
        self._attack, self._model, self._seed = attack, model, seed
        self._victims = list(observations)
        self._classes = count_classes(model, first.input_shape)
        self._batch_shape = (first.batch_size, *first.input_shape)
        self._pixels = math.prod(self._batch_shape)
        self._joint = next(iter(labels.values())) is None
        self._unknowns = self._pixels + (first.batch_size * self._classes if self._joint else 0)
        self._forward = as_function(model)
        self._params = parameters(model)
        self._like = next(model.parameters()).detach()
        self._shared = {
            k: torch.stack([o.gradient[k].to(self._like) for o in observations.values()])
            for k in self._params
        }
        self._targets = torch.stack([self._one_hot(label) for label in labels.values()])

    def solve(self, on_progress: OnProgress, should_stop: ShouldStop) -> dict[int, Reconstruction]:
        """Run all trials, chunk by chunk, and keep each victim's best by objective."""
        lanes = [(v, t) for v in range(len(self._victims)) for t in range(self._attack.trials)]
        chunk = lanes_that_fit(
            self._model, self._params, self._batch_shape, self._unknowns,
            self._attack.history, self._attack.memory_gb,
        )  # fmt: skip
        best: dict[int, Reconstruction] = {}
        for begin in range(0, len(lanes), chunk):
            part = lanes[begin : begin + chunk]
            outcomes = self._solve_chunk(part, on_progress, should_stop)
            for (victim, _), outcome in zip(part, outcomes, strict=True):
                name = self._victims[victim]
                if name not in best or _better(outcome, best[name]):
                    best[name] = outcome
        return best

    def misfit(self, data: Tensor) -> float:
        """Return the relative objective of given data for the first victim."""
        shared = {k: g[0] for k, g in self._shared.items()}
        gradient = self._gradient(data.to(self._like), self._targets[0])
        scale = self._scale(_Batch(self._shared, self._targets))[0]
        return float(self._attack.objective(gradient, shared) / scale)

    def _solve_chunk(
        self, part: list[tuple[int, int]], on_progress: OnProgress, should_stop: ShouldStop
    ) -> list[Reconstruction]:
        rows = torch.tensor([v for v, _ in part], device=self._like.device)
        batch = _Batch({k: g[rows] for k, g in self._shared.items()}, self._targets[rows])
        scale = self._scale(batch)
        distance = vmap(grad_and_value(self._distance))
        emergence = Emergence(self._to_data, len(part), self._attack.evaluations)
        victims = torch.tensor(self._victims)[rows.cpu()]

        def evaluate(points: Tensor, lanes: Tensor) -> tuple[Tensor, Tensor]:
            batch.narrow(lanes)
            gradients, values = distance(points, batch.shared, batch.targets)
            return values, gradients

        def observe(evaluation: int, lanes: Tensor, points: Tensor, values: Tensor) -> None:
            emergence.look(evaluation, lanes, points, values)
            on_progress(
                Progress(
                    victims=victims[lanes.cpu()],
                    evaluation=evaluation,
                    max_evaluations=self._attack.evaluations,
                    objective=(values / scale[lanes]).cpu(),
                    images=lambda: self._to_data(points).cpu(),
                )
            )

        minimum = minimise(
            evaluate,
            torch.stack([self._start(self._victims[v], t) for v, t in part]),
            max_evaluations=self._attack.evaluations,
            history=self._attack.history,
            tolerance=self._attack.tolerance * scale,
            observe=observe,
            should_stop=should_stop,
        )
        return [
            self._outcome(minimum, lane, part[lane], float(scale[lane]), emergence.history[lane])
            for lane in range(len(part))
        ]

    def _distance(self, point: Tensor, shared: dict[str, Tensor], target: Tensor) -> Tensor:
        """Return the objective of one lane at a point ``(n,)``."""
        data = point[: self._pixels].view(self._batch_shape)
        if self._joint:
            logits = point[self._pixels :].view(-1, self._classes)
            target = torch.softmax(logits, dim=-1)
        return self._attack.objective(self._gradient(data, target), shared)

    def _gradient(self, data: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Return the gradient that the client would have computed on this batch."""

        def loss(params: Mapping[str, Tensor]) -> Tensor:
            log_probabilities = F.log_softmax(self._forward(params, data), dim=-1)
            return -(target * log_probabilities).sum(-1).mean()

        gradient: dict[str, Tensor] = grad(loss)(self._params)
        return gradient

    def _scale(self, batch: _Batch) -> Tensor:
        """Return each lane's objective of an all-zero gradient, ``(A,)``."""
        zero = {k: torch.zeros_like(p) for k, p in self._params.items()}
        scale: Tensor = vmap(self._attack.objective, in_dims=(None, 0))(zero, batch.shared)
        return scale.clamp(min=torch.finfo(scale.dtype).tiny)

    def _start(self, victim: int, trial: int) -> Tensor:
        generator = torch.Generator().manual_seed(derive(self._seed, "start", victim, trial))
        noise = torch.randn(self._pixels, generator=generator)
        data = noise if self._attack.start == "normal" else 0.5 + 0.1 * noise
        logits = torch.zeros(self._unknowns - self._pixels)
        if self._attack.start == "normal":
            logits = torch.randn(len(logits), generator=generator)
        return torch.cat([data, logits]).to(self._like)

    def _one_hot(self, labels: Tensor | None) -> Tensor:
        """Return labels as target rows ``(batch, classes)``; zeros where they are unknown."""
        if labels is None:
            return self._like.new_zeros((self._batch_shape[0], self._classes))
        return F.one_hot(labels.long().to(self._like.device), self._classes).to(self._like)

    def _to_data(self, points: Tensor) -> Tensor:
        return points[:, : self._pixels].view(-1, *self._batch_shape).clamp(0, 1)

    def _outcome(
        self,
        minimum: Minimum,
        lane: int,
        who: tuple[int, int],
        scale: float,
        history: list[Snapshot],
    ) -> Reconstruction:
        victim, trial = who
        status, value = minimum.statuses[lane], float(minimum.values[lane])
        if status is Status.FAILED:
            return Reconstruction.failed("the objective was not finite at the start")
        point, evaluations = minimum.points[lane], int(minimum.evaluations[lane])
        if evaluations == 0:
            return Reconstruction.failed("stopped before the first evaluation")
        data = self._to_data(point[None])[0].cpu()
        earlier = (s for s in history if s.evaluation < evaluations)
        scores = point[self._pixels :] if self._joint else self._targets[victim]
        return Reconstruction(
            data=data,
            labels=scores.view(-1, self._classes).argmax(-1).cpu(),
            objective=value,
            relative_objective=value / scale,
            status=status,
            evaluations=evaluations,
            trial=trial,
            history=(*earlier, Snapshot(evaluations, value, data)),
        )


class _Batch:
    """What a chunk's lanes are matched against, narrowed as lanes end."""

    def __init__(self, shared: dict[str, Tensor], targets: Tensor) -> None:
        self._all = shared, targets
        self._lanes: Tensor | None = None
        self.shared, self.targets = shared, targets

    def narrow(self, lanes: Tensor) -> None:
        if self._lanes is lanes:
            return
        shared, targets = self._all
        self._lanes = lanes
        self.shared, self.targets = {k: g[lanes] for k, g in shared.items()}, targets[lanes]


def _better(one: Reconstruction, other: Reconstruction) -> bool:
    """Compare by the attack's own objective; a failed trial loses to any other."""
    if other.status is Status.FAILED:
        return True
    return one.objective < other.objective
