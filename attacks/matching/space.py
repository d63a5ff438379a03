"""Spaces: the unknowns of an attack, and the data that they stand for.

A lane of the minimisation is a row of numbers. The space of a modality turns it into the input of
the client's model, and into the data that are returned.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

import torch
import torch.nn.functional as F  # noqa: N812  (the name that everybody knows)
from torch import Tensor, nn

from fedsim.attacks.types import Observation, Reconstruction
from fedsim.core.modality import MODALITIES, PICTURES, modality_of

if TYPE_CHECKING:
    from collections.abc import Collection

Batch = tuple[Tensor, Tensor | None]
"""What the model takes, and its labels as distributions; None if they are no part of the space."""


class Space(ABC):
    """The unknowns of one lane.

    Args:
        model: the attacked model.
        observation: the victim.
        dtype: of the data that are decoded, where these are floating-point numbers.
        read_positions: whether tokens and their positions are read together, for a modality that
            has positions.

    Attributes:
        modality: the kind of data.
        shape: of what the model takes, the batch first.
        size: how many numbers a lane has here.
        labelled: whether the labels are among them.
        indirect: names of the parameters whose gradient the dummies do not have.
    """

    modality: ClassVar[str]
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
    def read(cls, model: nn.Module, observation: Observation) -> Reconstruction | None:
        """Return the data that an upload gives away without a search, or None.

        Args:
            model: the attacked model.
            observation: the victim.
        """
        return None

    @abstractmethod
    def start(self, kind: str, generator: torch.Generator) -> Tensor:
        """Return where a lane starts ``(size,)``.

        Args:
            kind: ``normal`` for N(0, 1), ``grey`` for as little as a guess can claim to know.
            generator: the only source of randomness.
        """

    @abstractmethod
    def guessed(self, guess: Reconstruction, start: Tensor) -> Tensor:
        """Return a start with what a guess knows in place of what it knows."""

    @abstractmethod
    def batch(self, point: Tensor) -> Batch:
        """Return what one lane's point ``(size,)`` stands for, differentiably."""

    @abstractmethod
    def truth(self, data: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Return a batch that somebody else supplies, as the model and the loss take it."""

    def told_by(self, observation: Observation) -> Space:
        """Return the space of a victim of the same shape: `decode` may use what its upload tells.

        All else is the same for victims of one shape.
        """
        return self

    @abstractmethod
    def decode(self, points: Tensor) -> Tensor:
        """Return what the points ``(A, size)`` show, ``(A, batch_size, ...)``."""

    @abstractmethod
    def project(self, points: Tensor) -> Tensor:
        """Return the nearest points ``(A, size)`` that something stands behind."""


class PixelSpace(Space):
    """Pictures in [0, 1]."""

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

    def start(self, kind: str, generator: torch.Generator) -> Tensor:
        """Return N(0, 1), or mid-grey with a little noise."""
        noise = torch.randn(self.size, generator=generator)
        return noise if kind == "normal" else 0.5 + 0.1 * noise

    def guessed(self, guess: Reconstruction, start: Tensor) -> Tensor:
        """Return the guessed pictures."""
        return start if guess.data is None else guess.data.flatten().to(start)

    def batch(self, point: Tensor) -> Batch:
        """Return the pictures."""
        return point.view(self.shape), None

    def truth(self, data: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Return the pictures and their labels as they are."""
        return data, target

    def decode(self, points: Tensor) -> Tensor:
        """Return the pictures, clamped to [0, 1]."""
        return points.view(-1, *self.shape).clamp(0, 1).to(self._dtype)

    def project(self, points: Tensor) -> Tensor:
        """Return the points inside the box of pictures."""
        return points.clamp(0, 1)


def space_type(model: nn.Module) -> type[Space]:
    """Return the class of the unknowns of attacks on a model."""
    space: type[Space] = MODALITIES.get(modality_of(model)).part("space")
    return space


def one_hot(labels: Tensor, classes: int) -> Tensor:
    """Return labels as rows; one that asks for nothing (below zero) as a row of zeros."""
    rows = F.one_hot(labels.clamp(min=0).long(), classes)
    return rows * (labels >= 0)[..., None]
