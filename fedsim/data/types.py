"""Data sets of pictures in memory."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from fedsim.core.errors import DataError

IndexArray = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Split:
    """The images and labels of one part of a data set.

    Attributes:
        images: ``(N, C, H, W)`` uint8.
        labels: ``(N,)`` int64.
    """

    images: torch.Tensor
    labels: torch.Tensor

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

    def __len__(self) -> int:
        return len(self.labels)

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
