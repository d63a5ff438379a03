"""Pictures fitted to an upload of local steps under assumed labels."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812  (the name that everybody knows)
from torch import Tensor, nn
from torch.func import vmap

from fedsim.attacks.functional import count_classes, parameters
from fedsim.attacks.matching.client import Client
from fedsim.attacks.matching.objectives import SquaredDistance
from fedsim.attacks.matching.optimisers import LBFGS, Ended, Minimisation
from fedsim.attacks.types import Observation
from fedsim.core.derivatives import grad, grad_and_value
from fedsim.core.errors import AttackError

_CAPACITY = 32  # fits at once
_HISTORY = 100
_NOISE = 0.1


@dataclass(frozen=True, eq=False)
class Fit:
    """Pictures fitted to an upload under assumed labels.

    Attributes:
        labels: of the pictures, ``(N,)``.
        pictures: in the unit box, flat.
        misfit: relative objective of the upload that they give.
    """

    labels: Tensor
    pictures: Tensor
    misfit: float


class Fitting:
    """Fits of pictures to one upload, with labels given or free.

    The local training is unrolled, every pass in the order of the first.

    Args:
        model: the global model, in the client's mode.
        observation: the upload, with its ``training``.

    Attributes:
        count: number of examples, N.
        classes: number of classes, C.
        step_of: the step of the first pass in which each example is, ``(N,)``.

    Raises:
        AttackError: the upload is of one step.
    """

    def __init__(self, model: nn.Module, observation: Observation) -> None:
        training, self.count = observation.training, observation.batch_size
        if training is None:
            raise AttackError("labels are fitted to an upload of several local steps, not of one")
        self._like = like = next(model.parameters()).detach()
        self._shape = (self.count, *observation.input_shape)
        self.classes = count_classes(model, observation.input_shape)
        self._client = Client(model, training, loss=observation.loss)
        self._scale = observation.scale.on(like)
        self._shared = {k: observation.gradient[k].to(like) for k in parameters(model)}
        sizes = training.sizes(self.count)
        steps = list(torch.split(torch.arange(sum(sizes)) % self.count, sizes))
        self._order = nn.utils.rnn.pad_sequence(steps, batch_first=True).to(like.device)
        self.step_of = torch.zeros(self.count, dtype=torch.long)
        for number, step in reversed(list(enumerate(steps))):
            self.step_of[step] = number
        nothing = {k: torch.zeros_like(g) for k, g in self._shared.items()}
        self._size = SquaredDistance()(nothing, self._shared)

    def misfit(self, pictures: Tensor, target: Tensor) -> Tensor:
        """Return the relative objective of pictures, a scalar.

        Args:
            pictures: in the unit box, flat.
            target: label rows ``(N, C)``.
        """
        inputs = self._scale.to_input(pictures.view(self._shape))
        upload, shared = self._client.compared(inputs, target, self._shared, self._order)
        return SquaredDistance()(upload, shared) / self._size

    def grey(self, count: int) -> Tensor:
        """Return grey pictures with noise, flat, for several fits: ``(count, n)``."""
        generator = torch.Generator().manual_seed(0)
        noise = torch.randn((count, math.prod(self._shape)), generator=generator)
        return (0.5 + _NOISE * noise).to(self._like)

    def free(self, starts: int, evaluations: int) -> list[tuple[Tensor, Tensor]]:
        """Fit pictures and label logits together, from grey pictures with noise.

        Args:
            starts: number of fits.
            evaluations: objective evaluations of each.

        Returns:
            Of each fit the label probabilities ``(N, C)`` and the pictures.
        """
        pictures = self.grey(starts)
        size = pictures.shape[1]
        logits = pictures.new_zeros((starts, self.count * self.classes))
        points = torch.cat([pictures, logits], dim=1)

        def probabilities(point: Tensor) -> Tensor:
            return torch.softmax(point[size:].view(self.count, self.classes), dim=-1)

        def misfit(point: Tensor, _nothing: Tensor) -> Tensor:
            return self.misfit(point[:size], probabilities(point))

        ended = _minimised(misfit, points, points[:, :0], evaluations)
        return [(probabilities(end.point).cpu(), end.point[:size]) for end in ended]

    def fitted(self, labels: Tensor, pictures: Tensor, evaluations: int) -> list[Fit]:
        """Fit pictures to each of several labels.

        Args:
            labels: ``(B, N)``.
            pictures: to begin at, ``(B, n)``.
            evaluations: objective evaluations of each.
        """
        targets = F.one_hot(labels, self.classes).to(self._like)
        ended = _minimised(self.misfit, pictures, targets, evaluations)
        rows = zip(labels, ended, strict=True)
        return [Fit(row, end.point, end.value) for row, end in rows]

    def slopes(self, fit: Fit) -> Tensor:
        """Return the change of the misfit by each other label, to first order, ``(N, C)``."""
        target = F.one_hot(fit.labels, self.classes).to(self._like)
        slope: Tensor = grad(lambda by: self.misfit(fit.pictures, by))(target).cpu()
        return slope - slope.gather(1, fit.labels[:, None])

    def in_steps(self, labels: Tensor) -> Tensor:
        """Return labels ``(N,)`` in ascending order within each step."""
        order = (self.step_of * self.classes + labels).argsort(stable=True)
        sorted_labels = torch.empty_like(labels)
        sorted_labels[self.step_of.argsort(stable=True)] = labels[order]
        return sorted_labels


def _minimised(
    function: Callable[[Tensor, Tensor], Tensor], starts: Tensor, given: Tensor, evaluations: int
) -> list[Ended]:
    """Return the minima of a function of points, from ``(B, n)``, with ``(B, ...)`` given."""
    found: dict[int, Ended] = {}
    value_of = vmap(grad_and_value(function))

    def evaluate(points: Tensor, lanes: Tensor) -> tuple[Tensor, Tensor]:
        gradients, values = value_of(points, given[lanes.to(points.device)])
        return values, gradients

    def on_end(ended: Ended) -> None:
        found[ended.lane] = ended

    Minimisation(
        evaluate=evaluate,
        start=lambda lane: starts[lane],
        count=len(starts),
        optimiser=LBFGS(_HISTORY),
        max_evaluations=evaluations,
        on_end=on_end,
        capacity=_CAPACITY,
    ).run()
    return [found[lane] for lane in range(len(starts))]
