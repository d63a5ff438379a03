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
from fedsim.core.targets import Targets
from fedsim.core.tasks import Task

IndexArray = npt.NDArray[np.int64]


class Examples(ABC):
    """The examples of one part of a data set, as a model takes them.

    The methods are for examples of one shape, each with a class for its label, or with `targets`;
    a modality of another kind overrides them.

    Attributes:
        labels: ``(N,)`` int64, the class of each example, by which they are spread over clients;
            zeros if the targets are not classes.
        targets: targets that are not classes, or None.
        task: what a model learns of them, such as ``classify``.
        ragged: whether examples differ in length. The lengths are public then.
        at_once: most examples in one forward pass of an evaluation.
        alike: whether they are of the same kind as the private ones, so that private examples can
            be ranked among them.
    """

    labels: torch.Tensor
    task: str
    targets: Targets | None = None
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
            predicted; or rows of targets ``(B, K)``, which are floating.
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
    """The images of one part of a data set, with their labels or other targets.

    Attributes:
        images: ``(N, C, H, W)`` uint8.
        labels: ``(N,)`` int64; zeros if there are other targets.
        targets: targets that are not classes, or None.
        task: classification, or that of the targets.
    """

    images: torch.Tensor
    labels: torch.Tensor
    targets: Targets | None = None
    task: str = field(default=Task.CLASSIFY, init=False, repr=False)

    @classmethod
    def of(cls, images: torch.Tensor, wanted: torch.Tensor | Targets) -> Split:
        """Return images ``(N, C, H, W)`` with their classes ``(N,)``, or with other targets."""
        if isinstance(wanted, Targets):
            return cls(images, torch.zeros(len(images), dtype=torch.int64), wanted)
        return cls(images, wanted)

    def __post_init__(self) -> None:
        self._check_targets()
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

    def _check_targets(self) -> None:
        if self.targets is None:
            return
        object.__setattr__(self, "task", self.targets.task)
        rows = self.targets.rows
        if rows.ndim != 2 or len(rows) != len(self.images) or not bool(rows.isfinite().all()):
            raise DataError(
                f"the targets of a split have shape {tuple(rows.shape)}: expected a row of finite "
                f"numbers for each of its {len(self.images)} images."
            )

    def batch(self, indices: IndexArray, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the images and labels at ``indices``, ready for a model.

        Args:
            indices: ``(B,)`` positions in this split.
            seed: not used for images, which need no random draws.

        Returns:
            Images ``(B, C, H, W)`` float32 in [0, 1], and labels ``(B,)`` int64, or rows of
            targets ``(B, K)`` float32.
        """
        rows = torch.from_numpy(np.array(indices, dtype=np.int64))
        wanted = self.labels if self.targets is None else self.targets.rows
        return self.images[rows].to(torch.float32) / 255, wanted[rows]

    def samples(self, most: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return images ``(N, C, H, W)`` in [0, 1], evenly spread, and their labels ``(N,)``."""
        count = len(self)
        rows = torch.linspace(0, count - 1, min(count, most)).round().long()
        return self.batch(rows.numpy())[0], self.labels[rows]


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
    """A data set of images, in memory.

    Attributes:
        name: name in reports.
        train: the images that are shared out among the clients.
        test: the images that no client holds.
        classes: the name of each class, in the order of the labels; of each entry of other targets.
    """

    name: str
    train: Split
    test: Split
    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        for part, split in (("training", self.train), ("test", self.test)):
            if len(split) == 0:
                raise DataError(f"the data set {self.name!r} has no {part} images.")
            if split.targets is not None:
                continue
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
        self._check_targets()

    def _check_targets(self) -> None:
        kinds = [
            "classes" if s.targets is None else f"rows of {s.targets.width} ({s.targets.task})"
            for s in (self.train, self.test)
        ]
        if kinds[0] != kinds[1] or (self.targets and self.targets.width != self.num_classes):
            raise DataError(
                f"the data set {self.name!r} has {kinds[0]} as training targets, {kinds[1]} as "
                f"test targets, and {self.num_classes} names: expected the same targets, and a "
                "name for each class or entry."
            )

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of every image."""
        channels, height, width = self.train.images.shape[1:]
        return channels, height, width

    @property
    def targets(self) -> Targets | None:
        """Targets of the training images that are not classes, or None."""
        return self.train.targets

    @property
    def num_classes(self) -> int:
        """Number of different labels, or of entries of other targets: outputs of a model."""
        return len(self.classes)
