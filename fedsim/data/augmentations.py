"""Augmentation of the pictures that a client trains on, as loaders do it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Annotated

import torch
import torch.nn.functional as F  # noqa: N812  (the name that everybody knows)
from pydantic import Field
from torch import Tensor

from fedsim.core.checked import Parameters, checked
from fedsim.core.registry import AUGMENTATIONS


@checked
class Augmentation(Parameters, ABC):
    """Random change of each picture of a batch. The adversary does not know what was drawn."""

    @abstractmethod
    def apply(self, pictures: Tensor, generator: torch.Generator) -> Tensor:
        """Return the changed pictures.

        Args:
            pictures: ``(N, C, H, W)`` in [0, 1]; not modified.
            generator: source of all randomness.

        Returns:
            Pictures of the same shape.
        """


@AUGMENTATIONS.register("flip")
class Flip(Augmentation):
    """Mirror images, left to right, as torchvision's ``RandomHorizontalFlip``."""

    probability: Annotated[
        float, Field(ge=0, le=1, description="probability of a mirror image")
    ] = 0.5

    def apply(self, pictures: Tensor, generator: torch.Generator) -> Tensor:
        """Return the pictures, some of them mirrored."""
        chosen = torch.rand(len(pictures), generator=generator) < self.probability
        return torch.where(chosen[:, None, None, None], pictures.flip(-1), pictures)


@AUGMENTATIONS.register("crop")
class Crop(Augmentation):
    """Crops of the original size from padded pictures, as torchvision's ``RandomCrop``."""

    padding: Annotated[int, Field(ge=1, description="black pixels added on each side")] = 4

    def apply(self, pictures: Tensor, generator: torch.Generator) -> Tensor:
        """Return the pictures, each moved by up to the padding in both directions."""
        height, width = pictures.shape[-2:]
        padded = F.pad(pictures, (self.padding,) * 4)
        corners = torch.randint(2 * self.padding + 1, (len(pictures), 2), generator=generator)
        moved = [
            picture[:, top : top + height, left : left + width]
            for picture, (top, left) in zip(padded, corners.tolist(), strict=True)
        ]
        return torch.stack(moved)


def augmented(
    augmentations: Sequence[Augmentation], pictures: Tensor, generator: torch.Generator
) -> Tensor:
    """Return the pictures after all changes, in the written order."""
    for augmentation in augmentations:
        pictures = augmentation.apply(pictures, generator)
    return pictures
