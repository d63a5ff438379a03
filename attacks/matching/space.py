"""Spaces: mappings between the unknowns of an attack and data.

A lane of the minimisation is a row of numbers. The space of a modality turns it into the input of
the client's model, and into the data that are returned.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from fedsim.attacks.types import Observation, Reconstruction
from fedsim.core.modality import MODALITIES, PICTURES, modality_of

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping


class Batch(NamedTuple):
    """The batch that a point stands for.

    Attributes:
        inputs: of the model.
        target: labels as the loss takes them, where they are part of the space; else None.
        judged: the batch as priors judge it: pictures in the unit box, or the inputs.
    """

    inputs: Tensor
    target: Tensor | None
    judged: Tensor


class Space(ABC):
    """Space of the unknowns of one lane.

    Args:
        model: the attacked model.
        observation: the victim.
        dtype: dtype of floating-point decoded data.
        read_positions: whether tokens and their positions are decoded jointly, for a modality with
            positions.

    Attributes:
        modality: the modality of the data.
        shape: shape of the model's input, batch axis first.
        size: number of unknowns of a lane.
        labelled: whether the unknowns include labels.
        indirect: names of the parameters without a gradient in this space.
        relaxed: whether the data are discrete, and the search takes points between them.
    """

    modality: ClassVar[str]
    relaxed: ClassVar[bool] = False
    shape: tuple[int, ...]
    size: int
    labelled: bool = False
    indirect: Collection[str] = ()

    @abstractmethod
    def __init__(
        self,
        model: nn.Module,
        observation: Observation,
        dtype: torch.dtype,
        *,
        read_positions: bool = True,
    ) -> None: ...

    @classmethod
    def neutral(cls, model: nn.Module, shape: tuple[int, ...]) -> Tensor:
        """Return the model's input for one example that assumes little: mid-grey.

        Args:
            model: the attacked model.
            shape: shape of one example.
        """
        return torch.full((1, *shape), 0.5).to(next(model.parameters()))

    @classmethod
    def read(cls, model: nn.Module, observation: Observation) -> Reconstruction | None:
        """Return the data that an upload reveals without a search, or None.

        Args:
            model: the attacked model.
            observation: the victim.
        """
        return None

    @abstractmethod
    def start(self, kind: str, generator: torch.Generator) -> Tensor:
        """Return the first point of a lane, ``(size,)``.

        Args:
            kind: ``normal`` for N(0, 1), ``grey`` for a point that assumes little.
            generator: the only source of randomness.
        """

    @abstractmethod
    def from_initial(self, initial: Reconstruction, start: Tensor) -> Tensor:
        """Return the point of an initial reconstruction; ``start`` where it says nothing."""

    @abstractmethod
    def batch(self, point: Tensor) -> Batch:
        """Return the batch that one lane's point ``(size,)`` stands for, differentiably."""

    @abstractmethod
    def given(self, data: Tensor, target: Tensor) -> Batch:
        """Return the batch of given data ``(batch_size, ...)``.

        Args:
            data: as `decode` returns it.
            target: labels as the loss takes them.
        """

    def for_observation(self, observation: Observation) -> Space:
        """Return the space of another victim of the same shape.

        Only `decode` may differ: it may use the victim's own upload. The default is the space
        itself.
        """
        return self

    def entering(self, parameters: Mapping[str, Tensor], inputs: Tensor) -> Tensor:
        """Return the model's input for the inputs of a batch.

        It may depend on the parameters, whose gradient then has a part from here. The default is
        the inputs themselves.

        Args:
            parameters: the model's parameters by name.
            inputs: as `batch` or `given` returns them.
        """
        return inputs

    @abstractmethod
    def decode(self, points: Tensor) -> Tensor:
        """Return the data ``(A, batch_size, ...)`` that the points ``(A, size)`` stand for."""

    @abstractmethod
    def project(self, points: Tensor) -> Tensor:
        """Return the nearest points ``(A, size)`` that stand for possible data."""


class PixelSpace(Space):
    """Pictures, or any numbers in a range, as points of the unit box."""

    modality = PICTURES

    def __init__(
        self,
        model: nn.Module,
        observation: Observation,
        dtype: torch.dtype,
        *,
        read_positions: bool = True,
    ) -> None:
        self.shape = (observation.batch_size, *observation.input_shape)
        self.size = math.prod(self.shape)
        self._dtype = dtype
        self._scale = observation.scale.on(next(model.parameters()))

    def start(self, kind: str, generator: torch.Generator) -> Tensor:
        """Return N(0, 1), or the middle of the box (mid-grey) with a little noise."""
        noise = torch.randn(self.size, generator=generator)
        return noise if kind == "normal" else 0.5 + 0.1 * noise

    def from_initial(self, initial: Reconstruction, start: Tensor) -> Tensor:
        """Return the point of an initial reconstruction."""
        if initial.data is None:
            return start
        return self._scale.on(start).from_data(initial.data.to(start)).flatten()

    def batch(self, point: Tensor) -> Batch:
        """Return the pictures."""
        unit = point.view(self.shape)
        return Batch(self._scale.to_input(unit), None, unit)

    def given(self, data: Tensor, target: Tensor) -> Batch:
        """Return the pictures and their labels unchanged."""
        unit = self._scale.from_data(data)
        return Batch(self._scale.to_input(unit), target, unit)

    def decode(self, points: Tensor) -> Tensor:
        """Return the pictures, clamped to the range of the data."""
        unit = points.view(-1, *self.shape).clamp(0, 1)
        return self._scale.to_data(unit).to(self._dtype)

    def project(self, points: Tensor) -> Tensor:
        """Return the points inside the unit box."""
        return points.clamp(0, 1)


def space_type(model: nn.Module) -> type[Space]:
    """Return the space class of attacks on a model."""
    space: type[Space] = MODALITIES.get(modality_of(model)).part("space")
    return space
