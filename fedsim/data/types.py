"""Data sets in memory: the contract of every modality, and pictures."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Protocol

import numpy as np
import numpy.typing as npt
import torch

from fedsim.core.errors import DataError

IndexArray = npt.NDArray[np.int64]


class Examples(ABC):
    """The examples of one part of a data set, as a model takes them.

    The methods are for examples of one shape, each with a class for its label; a modality of
    another kind overrides them.

    Attributes:
        labels: ``(N,)`` int64, the class of each example, by which they are spread over clients.
        task: what a model learns of them, such as ``classify``.
        ragged: whether examples differ in length. The lengths are public then.
        at_once: most examples in one forward pass of an evaluation.
        alike: whether they are of the same kind as the private ones, so that private examples can
            be ranked among them.
    """

    labels: torch.Tensor
    task: str
    ragged: ClassVar[bool] = False
    at_once: ClassVar[int] = 500
    alike: bool = True

    def __len__(self) -> int:
        return len(self.labels)

    @abstractmethod
    def batch(self, indices: IndexArray, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the examples at ``indices`` as a model takes them, and their labels.

        A pure function of its arguments.

        Args:
            indices: ``(B,)`` positions in this split.
            seed: of what is drawn for a batch, if anything is.

        Returns:
            Inputs ``(B, ...)``; labels ``(B,)``, or ``(B, L)`` with -100 where nothing is
            predicted.
        """

    def join(
        self, batches: Sequence[tuple[torch.Tensor, torch.Tensor]]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return batches as one."""
        inputs, labels = zip(*batches, strict=True)
        return torch.cat(inputs), torch.cat(labels)

    def lengths(self, batches: Sequence[torch.Tensor]) -> list[int]:
        """Return the sorted lengths of all examples in batches; none if they are not ragged."""
        return []

    def example_shape(self, lengths: Sequence[int]) -> tuple[int, ...]:
        """Return the shape of one example in a batch.

        Args:
            lengths: of the examples in the batch; ignored if they are not ragged.
        """
        inputs, _ = self.batch(np.zeros(1, dtype=np.int64))
        return tuple(inputs.shape[1:])

    def rows(self) -> list[list[int]]:
        """Return the examples as sequences of tokens; none if they are not made of tokens."""
        return []

    def samples(self, most: int) -> tuple[torch.Tensor, torch.Tensor] | None:
        """Return examples, evenly spread, for those who learn from public data.

        Args:
            most: at most so many.

        Returns:
            Examples ``(N, ...)`` and their labels ``(N,)``; None for a modality of which nobody
            learns anything.
        """
        return None


@dataclass(frozen=True, eq=False)
class Split(Examples):
    """The images and labels of one part of a data set.

    Attributes:
        images: ``(N, C, H, W)`` uint8.
        labels: ``(N,)`` int64.
        task: classification.
    """

    images: torch.Tensor
    labels: torch.Tensor
    task: str = field(default="classify", init=False, repr=False)

    def __post_init__(self) -> None:
        images, labels = self.images, self.labels
        if images.ndim != 4 or images.dtype != torch.uint8:
            raise DataError(
                f"the images of a split have shape {tuple(images.shape)} and type {images.dtype}: "
                "expected (N, C, H, W) and uint8."
            )
        if labels.dtype != torch.int64 or labels.shape != images.shape[:1]:
            raise DataError(
                f"the labels of a split have shape {tuple(labels.shape)} and type {labels.dtype}: "
                f"expected one int64 for each of its {len(images)} images."
            )

    def batch(self, indices: IndexArray, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the images and labels at ``indices``, ready for a model.

        Args:
            indices: ``(B,)`` positions in this split.
            seed: not used for images, which need no random draws.

        Returns:
            Images ``(B, C, H, W)`` float32 in [0, 1], and labels ``(B,)`` int64.
        """
        rows = torch.from_numpy(np.array(indices, dtype=np.int64))
        return self.images[rows].to(torch.float32) / 255, self.labels[rows]

    def samples(self, most: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return images ``(N, C, H, W)`` in [0, 1], evenly spread, and their labels."""
        count = len(self)
        rows = torch.linspace(0, count - 1, min(count, most)).round().long()
        return self.batch(rows.numpy())


class Prepared(Protocol):
    """A data set as a model takes it."""

    @property
    def name(self) -> str:
        """The name in reports."""
        ...

    @property
    def train(self) -> Examples:
        """The examples that are shared out among the clients."""
        ...

    @property
    def test(self) -> Examples:
        """The examples that no client holds; public."""
        ...

    @property
    def classes(self) -> tuple[str, ...]:
        """The name of each label, in the order of the labels."""
        ...

    @property
    def num_classes(self) -> int:
        """Number of different labels."""
        ...


@dataclass(frozen=True, eq=False)
class Dataset:
    """A data set for classification, in memory.

    Attributes:
        name: name in reports.
        train: the images that are shared out among the clients.
        test: the images that no client holds.
        classes: the name of each label, in the order of the labels.
    """

    name: str
    train: Split
    test: Split
    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        for part, split in (("training", self.train), ("test", self.test)):
            if len(split) == 0:
                raise DataError(f"the data set {self.name!r} has no {part} images.")
            low, high = int(split.labels.min()), int(split.labels.max())
            if low < 0 or high >= self.num_classes:
                raise DataError(
                    f"the data set {self.name!r} has {part} labels from {low} to {high}: "
                    f"expected 0 to {self.num_classes - 1}, one for each of its classes."
                )
        if self.train.images.shape[1:] != self.test.images.shape[1:]:
            raise DataError(
                f"the data set {self.name!r} has training images of shape {self.image_shape} and "
                f"test images of shape {tuple(self.test.images.shape[1:])}: expected the same."
            )

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of every image."""
        channels, height, width = self.train.images.shape[1:]
        return channels, height, width

    @property
    def num_classes(self) -> int:
        """Number of different labels."""
        return len(self.classes)
