"""InstaHide: mixtures of several images, with random pixel signs."""

from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from fedsim.clients.defenses.base import Batch, Defense, Private
from fedsim.clients.defenses.mixing import mixture, with_others
from fedsim.core.modality import PICTURES
from fedsim.core.registry import DEFENSES

LARGEST_SHARE = 0.65


@DEFENSES.register("instahide")
class InstaHide(Defense):
    """Mix each image with others, and flip the sign of each pixel at random.

    Source: Huang et al., InstaHide: Instance-hiding Schemes for Private Distributed Learning,
    ICML 2020 (arXiv 2010.02772): the shares are random, at most 0.65 each, and labels are mixed
    with the same shares. This is the inside-dataset variant: all images are the client's.
    Differences: shares are drawn uniformly from all possible ones, and the other images are drawn
    anew in each step, while the paper permutes the data set.

    The paper flips the signs of pixels in [-1, 1]. Here pixels are in [0, 1], where a flip maps x
    to ``1 - x``, so the result is in [0, 1] again.
    """

    modalities: ClassVar[frozenset[str] | None] = frozenset({PICTURES})

    images: Annotated[
        int,
        Field(
            ge=2,
            le=64,
            examples=[3],
            description="number of images in a mixture, including the image itself",
        ),
    ]

    def protect_batch(self, batch: Batch, private: Private, generator: torch.Generator) -> Batch:
        """Mix and flip; reports ``own_share``, the mean share of the batch's own images."""
        images, labels = with_others(batch, private, self.images - 1)
        shares = _shares(len(images), self.images, generator)
        mixed = mixture(shares, images)
        coins = torch.randint(0, 2, mixed.shape, generator=generator, device=generator.device)
        flipped = torch.where(coins.to(mixed.device).bool(), 1 - mixed, mixed)
        return Batch(flipped, mixture(shares, labels), {"own_share": float(shares[:, 0].mean())})


def _shares(count: int, parts: int, generator: torch.Generator) -> Tensor:
    """Return rows ``(count, parts)`` that sum to 1, uniform among rows without a large part."""
    shares = torch.ones(count, parts, dtype=torch.float64)
    while bool((again := shares.amax(1) > LARGEST_SHARE).any()):
        drawn = torch.empty(int(again.sum()), parts, dtype=torch.float64)
        drawn.exponential_(generator=generator)
        shares[again] = drawn / drawn.sum(1, keepdim=True)
    return shares
