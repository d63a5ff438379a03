"""The objective of gradient matching, for one lane and for given data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812  (the name that everybody knows)
from torch import Tensor, nn
from torch.func import vmap

from fedsim.attacks.functional import count_classes
from fedsim.attacks.labels.known import target_rows
from fedsim.attacks.matching.client import Client
from fedsim.attacks.matching.draws import fitted
from fedsim.attacks.matching.hooks import MatchingHooks
from fedsim.attacks.matching.memory import lanes_that_fit
from fedsim.attacks.matching.passes import PassesSpace, disagreement
from fedsim.attacks.matching.space import Batch, PixelSpace
from fedsim.attacks.types import Observation
from fedsim.core.modules import draw_size


class Against(NamedTuple):
    """The fixed part of one lane's objective, or of many lanes' with a leading axis.

    Attributes:
        shared: the shared tensors by name.
        target: labels as the loss takes them; zeros where they are unknown.
        order: the examples of each local step, ``(steps, batch)``.
    """

    shared: dict[str, Tensor]
    target: Tensor
    order: Tensor


class Problem:
    """Victims of one shape, loss and range, one kind of label knowledge and local training.

    A lane is a trial on a victim. Its unknowns are one row of numbers: the dummy data (see
    `Space`), then the label logits if the labels are unknown, then the draws of stochastic layers
    if the attack looks for them, then the logarithm of the factor on the learning rate if that is
    not known exactly.

    Attributes:
        attack: its hyper-parameters and hooks.
        victims: their positions in the list given to ``run``.
        observations: the victims by these positions.
        space: the unknowns that stand for data.
        training: the local training that is unrolled, or None.
        replaced: the local training that one step at a surrogate model replaces, or None.
        classes: size of the model's output.
        passes: passes of the unrolled training that have dummies of their own.
        joint: whether the labels are unknowns.
        of_classes: whether the labels are classes.
        logits: numbers in a lane that stand for labels.
        draws: numbers in a lane that stand for draws.
        unknowns: numbers in a lane.
        like: a tensor of the type and on the device of the points.

    Args:
        attack: its hyper-parameters and hooks.
        model: the global model in the precision to work in.
        observations: the victims by their position in the list given to ``run``.
        joint: whether the labels are unknown.
        dtype: of the reconstructions; that of the model if None.
    """

    def __init__(
        self,
        attack: MatchingHooks,
        model: nn.Module,
        observations: Mapping[int, Observation],
        *,
        joint: bool,
        dtype: torch.dtype | None = None,
    ) -> None:
        first = next(iter(observations.values()))
        self.attack, self.observations, self.victims = attack, observations, list(observations)
        self.like = next(model.parameters()).detach()
        way = first.training and attack.steps_as(first.training, first.batch_size)
        self.training = first.training if way == "unroll" else None
        self.replaced = first.training if way == "surrogate" else None
        positions = attack.reads_positions
        kind = attack.space_type(model)
        space = kind(model, first, dtype or self.like.dtype, read_positions=positions)
        self.passes = attack.own_passes(first) if kind is PixelSpace else 1
        if self.passes > 1:
            space = PassesSpace(model, first, dtype or self.like.dtype, passes=self.passes)
        self.space = space
        self._spaces = {i: space.for_observation(o) for i, o in observations.items()}
        self._shared = {
            i: {k: g for k, g in attack.shared(model, o).items() if k not in space.indirect}
            for i, o in observations.items()
        }
        names = self._shared[self.victims[0]].keys()
        more = bool(names - dict(model.named_parameters()).keys())
        self._client = Client(
            model,
            self.training,
            names=names,
            statistics=more,
            loss=first.loss,
            per_example=attack.per_example,
            per_client=attack.per_client,
            entering=space.entering,
            passes=self.passes,
        )
        self._model, self._objective = model, attack.distance()
        self._priors = [p for p in attack.regularisers(model) if p.modality == space.modality]
        self.classes, self.batch_size = count_classes(model, first.input_shape), first.batch_size
        self.joint = joint and not space.labelled
        self.of_classes = first.is_classification or first.has_classes
        self.logits = self.batch_size * self.classes if self.joint else 0
        free_rate = self.training is not None and not self.training.exact
        size = draw_size(model) if attack.draws else 0
        self.draws = self._examples * size
        beside = free_rate or self.replaced is not None
        self.unknowns = space.size + self.logits + self.draws + beside

    def distance(self, point: Tensor, against: Against) -> Tensor:
        """Return the objective of one lane at a point ``(n,)``."""
        batch = self.space.batch(point[: self.space.size])
        residual = point[self.space.size :]
        target = against.target if batch.target is None else batch.target
        if self.joint:
            target = torch.cat([self.target_of(residual[: self.logits])] * self.passes)
        draws = residual[self.logits :][: self.draws]
        last = residual[-1] if len(residual) > self.logits + self.draws else None
        return self._compare(batch, target, against, draws, last)

    def target_of(self, logits: Tensor) -> Tensor:
        """Return the dummy target of the numbers that stand for it.

        Probabilities of the classes; the numbers themselves under a loss whose targets are not
        classes, which can be any.

        Args:
            logits: of one lane, ``(batch_size * classes,)``.
        """
        rows = logits.view(-1, self.classes)
        return torch.softmax(rows, dim=-1) if self.of_classes else rows

    def relative_objective_of(
        self, data: Tensor, labels: Tensor, against: Against, draws: Tensor | None = None
    ) -> float:
        """Return the relative objective of given data and labels.

        Args:
            data: ``(batch_size, *input_shape)``.
            labels: classes, or targets of the loss.
            against: the fixed part of the victim's first trial.
            draws: see `fitted_draws`; None for those of the model itself.
        """
        batch, target = self._given(data, labels)
        total = self._compare(batch, target, against, draws, None)
        return float(total / self.scale({k: g[None] for k, g in against.shared.items()})[0])

    def upload_of(
        self, data: Tensor, labels: Tensor, against: Against, draws: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Return the tensors that given data, labels and draws would share, by name."""
        batch, target = self._given(data, labels)
        return self._upload(batch, target, against, draws, None)

    def fitted_draws(self, data: Tensor, labels: Tensor, against: Against) -> Tensor:
        """Return the draws of stochastic layers ``(draws,)`` that explain the upload best.

        The draws of the private batch are not recorded. With its data given, they are what is left
        to find.
        """
        batch, target = self._given(data, labels)

        def objective(draws: Tensor) -> Tensor:
            return self._compare(batch, target, against, draws, None)

        return fitted(objective, self.like.new_zeros(self.draws))

    def values(self, points: Tensor, against: Against) -> Tensor:
        """Return the relative objectives of points ``(P, n)`` of one lane."""
        scale = self.scale({k: g[None] for k, g in against.shared.items()})[0]
        with torch.no_grad():
            found: Tensor = vmap(lambda point: self.distance(point, against), chunk_size=self.room)(
                points.to(self.like)
            )
        return found / scale

    def scale(self, shared: dict[str, Tensor]) -> Tensor:
        """Return the lanes' objectives for an upload of zeros, ``(A,)``."""
        zero = {k: torch.zeros_like(g[0]) for k, g in shared.items()}
        scale: Tensor = vmap(self._objective, in_dims=(None, 0))(zero, shared)
        return scale.clamp(min=torch.finfo(scale.dtype).tiny)

    def couple(self, points: Tensor, lanes: Tensor) -> tuple[Tensor, Tensor] | None:
        """Return the cost that couples siblings and its gradient, or None."""
        victims = (lanes // self.attack.trials).to(points.device)
        tied = self.attack.couple(points[:, : self.space.size], victims)
        if tied is None:
            return None
        values, gradients = tied
        return values, F.pad(gradients, (0, self.unknowns - self.space.size))

    def shared_of(self, victim: int) -> dict[str, Tensor]:
        """Return the tensors with which a victim's dummies are compared."""
        return {k: g.to(self.like) for k, g in self._shared[victim].items()}

    def decode(self, points: Tensor, victims: Sequence[int]) -> Tensor:
        """Return the data of points ``(A, n)`` of victims, ``(A, batch_size, ...)``."""
        points = points[:, : self.space.size].to(self.like)
        spaces = [self._spaces[victim] for victim in victims]
        if all(space is self.space for space in spaces):
            return self.space.decode(points)
        lanes = zip(spaces, points, strict=True)
        return torch.cat([space.decode(point[None]) for space, point in lanes])

    def project(self, points: Tensor) -> Tensor:
        """Return the nearest points ``(A, n)`` that stand for possible data."""
        data, residual = points[:, : self.space.size], points[:, self.space.size :]
        return torch.cat([self.space.project(data), residual], dim=1)

    @property
    def room(self) -> int:
        """Lanes that fit the memory at once."""
        steps, clients = 1, max(1, len(self.attack.per_client))
        if self.training is not None:
            steps = self.training.steps
        examples = self._examples
        return lanes_that_fit(
            self._model,
            (examples, *self.space.shape[1:]),
            points=self.unknowns * self.attack.optimiser().copies,
            gradients=examples if self.attack.per_example else steps * clients,
            memory_gb=self.attack.memory_gb,
        )

    @property
    def _examples(self) -> int:
        """Examples that pass through the model in one evaluation of one lane."""
        if self.training is None:
            return self.batch_size
        return self.training.steps * self.training.batch_size

    def _compare(
        self,
        batch: Batch,
        target: Tensor,
        against: Against,
        draws: Tensor | None,
        last: Tensor | None,
    ) -> Tensor:
        shared: Mapping[str, Tensor] = against.shared
        upload: Mapping[str, Tensor] = {}
        if self._objective.compares and self.training is not None:
            rate_scale = None if last is None else last.exp()
            upload, shared = self._client.compared(
                batch.inputs, target, shared, against.order, rate_scale, self._drawn(draws)
            )
        elif self._objective.compares:
            upload = self._upload(batch, target, against, draws, last)
        total = self._objective(upload, shared)
        for prior in self._priors:
            total = total + prior(batch.judged)
        if self.passes > 1:
            size = self._objective({k: torch.zeros_like(g) for k, g in shared.items()}, shared)
            total = total + self.attack.agreement * size * disagreement(batch.judged, self.passes)
        return total

    def _upload(
        self,
        batch: Batch,
        target: Tensor,
        against: Against,
        draws: Tensor | None,
        last: Tensor | None,
    ) -> dict[str, Tensor]:
        if self.replaced is not None:
            share = 0.5 if last is None else torch.sigmoid(4 * last)  # its slope at 0 is 1
            way = self.replaced.way(self._client.parameters, against.shared)
            weights = {k: w + share * way[k] for k, w in self._client.parameters.items()}
            drawn = self._drawn(draws)
            return self._client.upload(batch.inputs, target, draws=drawn, weights=weights)
        order = against.order if self.training is not None else None
        rate_scale = None if last is None else last.exp()
        return self._client.upload(batch.inputs, target, order, rate_scale, self._drawn(draws))

    def _drawn(self, draws: Tensor | None) -> Tensor | None:
        """Return draws with a row for each example that passes through the model."""
        if not self.draws or draws is None:
            return None
        return draws.to(self.like).view(self._examples, -1)

    def _given(self, data: Tensor, labels: Tensor) -> tuple[Batch, Tensor]:
        target = target_rows(labels, self.classes, self.like)
        data = data.to(self.like if data.is_floating_point() else self.like.device)
        return self.space.given(data, target), torch.cat([target] * self.passes)
