"""Closed forms that read single examples of a batch from a dense first layer."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from fedsim.attacks.closed.base import ClosedForm, Found, check_one_step
from fedsim.attacks.closed.front import Front, front_of
from fedsim.attacks.closed.latents import Latents
from fedsim.attacks.labels.known import known_or_inferred
from fedsim.attacks.types import Observation
from fedsim.core.errors import AttackError

OUTSIDE = 0.02
"""Distance from the unit box, in units of its side, at which a candidate is a mixture."""

SAME = 1e-3
"""Root mean square difference, in units of the box, below which two candidates are one example."""

LEVELS = 255
"""Steps of a byte, in units of the box."""

WHOLE = 0.05
"""Mean distance from whole bytes, in steps, below which numbers are bytes; 0.25 for any numbers."""


@dataclass(frozen=True, eq=False)
class Candidates:
    """Quotients of a layer's gradients, each of which may be one example.

    Attributes:
        inputs: the quotients ``(candidates, numbers)``, in the layer's units.
        weight: size of the gradient behind each ``(candidates,)``.
    """

    inputs: Tensor
    weight: Tensor


class BatchReading(ClosedForm):
    """A closed form that finds some examples of a batch, and grey in place of the others.

    Layers in front of the dense one are undone if they are a linear map (`front_of`).

    It does not know which of its quotients are single examples. Quotients in the range of the data
    come first; of them those that several rows give, or whose numbers are bytes as those of most
    pictures are; then those with the largest gradient.
    """

    def _at_once(self, model: nn.Module, observation: Observation) -> int:
        return 1

    def _solve(
        self, model: nn.Module, observations: Mapping[int, Observation], seed: int
    ) -> Mapping[int, Found | str]:
        first = next(iter(observations.values()))
        check_one_step(first, "reading a batch from a dense layer")
        front = self._front(model, *_range(model, first))
        return {i: self._read(model, front, o) for i, o in observations.items()}

    def _read(
        self, model: nn.Module, front: Front | Latents, observation: Observation
    ) -> Found | str:
        name = front.layer
        layer = model.get_submodule(name)
        found = self._candidates(
            layer.get_parameter("weight").detach().double(),
            layer.get_parameter("bias").detach().double(),
            observation.gradient[f"{name}.weight"].double(),
            observation.gradient[f"{name}.bias"].double(),
        )
        if not len(found.weight):
            return f"the gradient of '{name}' is zero everywhere: nothing to divide by"
        shape, size = observation.input_shape, observation.batch_size
        scale = observation.scale.on(found.inputs)
        unit = scale.from_input(front.pictures(found.inputs))
        best = unit[_best(unit, found.weight, size)]
        grey = torch.full((size - len(best), *shape), 0.5).to(best)
        data = scale.to_input(torch.cat([best, grey]).clamp(0, 1))
        return data, _labels(model, observation, data)

    def _front(self, model: nn.Module, low: Tensor, high: Tensor) -> Front | Latents:
        """Return the dense layer, and the way back from its input to the picture.

        Raises:
            AttackError: there is none; see `front_of`.
        """
        return front_of(model, low, high)

    @abstractmethod
    def _candidates(
        self, weight: Tensor, bias: Tensor, weight_gradient: Tensor, bias_gradient: Tensor
    ) -> Candidates:
        """Return the quotients of one upload.

        Args:
            weight: of the layer ``(rows, numbers)``, in double precision.
            bias: of the layer ``(rows,)``.
            weight_gradient: its gradient.
            bias_gradient: its gradient.

        Raises:
            AttackError: the layer's weights are not those that this attack reads.
        """


def _range(model: nn.Module, observation: Observation) -> tuple[Tensor, Tensor]:
    """Return the lowest and the highest value of each number, as the model takes it."""
    scale = observation.scale.on(next(model.parameters()))
    box = torch.stack([torch.zeros(observation.input_shape), torch.ones(observation.input_shape)])
    low, high = scale.to_input(box.to(next(model.parameters())))
    return low, high


def _best(unit: Tensor, weight: Tensor, count: int) -> Tensor:
    """Return the indices of the best candidates, different from each other.

    Args:
        unit: candidates ``(candidates, *input_shape)`` in units of the box.
        weight: size of the gradient behind each.
        count: at most so many.
    """
    flat = unit.flatten(1)
    inside = ((flat > -OUTSIDE) & (flat < 1 + OUTSIDE)).all(1)
    near = torch.cdist(flat, flat) < SAME * flat.shape[1] ** 0.5
    off = (flat * LEVELS - (flat * LEVELS).round()).abs().mean(1)
    single = (near.sum(1) > 1) | (off < WHOLE)
    order = torch.argsort(weight, descending=True).tolist()
    ranks = sorted(order, key=lambda i: (bool(inside[i]), bool(single[i])), reverse=True)
    chosen: list[int] = []
    taken = torch.zeros(len(flat), dtype=torch.bool, device=flat.device)
    for i in ranks:
        if len(chosen) < count and not taken[i]:
            chosen.append(i)
            taken |= near[i]
    return torch.tensor(chosen, device=flat.device)


def _labels(model: nn.Module, observation: Observation, data: Tensor) -> Tensor:
    """Return labels: the known or inferred ones, or else the model's own predictions."""
    try:
        return known_or_inferred(model, observation)
    except AttackError:
        with torch.no_grad():
            logits: Tensor = model(data.to(next(model.parameters())))
        return logits.argmax(-1)
