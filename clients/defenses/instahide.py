"""InstaHide: several images mixed, and the sign of each pixel drawn at random."""

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
    """Mix each image with others, and flip the sign of each of its pixels by a coin.

    Source: Huang et al., InstaHide: Instance-hiding Schemes for Private Distributed Learning,
    ICML 2020 (arXiv 2010.02772): the shares are random, none above 0.65, and labels are mixed
    alike. This is its inside-dataset variant: all images are the client's.
    We differ in how shares are drawn (uniformly from all that are possible) and in what they are
    mixed with (drawn anew in each step, where the paper permutes the data set).

    Signs are those of pixels on [-1, 1], as in the paper. Ours are in [0, 1], where that is
    ``2 x - 1``: a flip maps x to ``1 - x``, and the result is in [0, 1] again.
    """

    modalities: ClassVar[frozenset[str] | None] = frozenset({PICTURES})

    images: Annotated[
        int, Field(ge=2, le=64, description="how many are mixed, the own one with it")
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
    """Return rows ``(count, parts)`` that sum to 1, uniform among those without a large part."""
    shares = torch.ones(count, parts, dtype=torch.float64)
    while bool((again := shares.amax(1) > LARGEST_SHARE).any()):
        drawn = torch.empty(int(again.sum()), parts, dtype=torch.float64)
        drawn.exponential_(generator=generator)
        shares[again] = drawn / drawn.sum(1, keepdim=True)
    return shares
