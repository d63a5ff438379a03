"""Mixup: what is trained on is a mixture of two images and of their labels."""

from typing import Annotated, ClassVar

import torch
from pydantic import Field

from fedsim.clients.defenses.base import Batch, Defense, Private
from fedsim.clients.defenses.mixing import mixture, with_others
from fedsim.core.modality import PICTURES
from fedsim.core.registry import DEFENSES


@DEFENSES.register("mixup")
class Mixup(Defense):
    """Train on ``a x + (1 - a) x'`` and the labels mixed alike, with a from Beta(alpha, alpha).

    Source: Zhang et al., mixup: Beyond Empirical Risk Minimization, ICLR 2018 (arXiv 1710.09412),
    section 2. There x' is another image of the batch and a the same for all of it; here x' is
    drawn from all of the client's images, so that a batch of one is mixed too, and each image has
    a share of its own. Of few images the same one may be drawn.
    """

    modalities: ClassVar[frozenset[str] | None] = frozenset({PICTURES})

    alpha: Annotated[
        float,
        Field(
            gt=0,
            le=1e6,
            description="of Beta(alpha, alpha): small leaves mostly one image, large halves both",
        ),
    ]

    def protect_batch(self, batch: Batch, private: Private, generator: torch.Generator) -> Batch:
        """Mix; reports ``own_share``, the mean share of the batch's own images."""
        images, labels = with_others(batch, private, 1)
        # A Beta variable is the share of one of two Gamma variables.
        both = torch._standard_gamma(
            torch.full((len(images), 2), self.alpha, dtype=torch.float64), generator=generator
        ).clamp(min=torch.finfo(torch.float64).tiny)
        shares = both / both.sum(1, keepdim=True)
        did = {"own_share": float(shares[:, 0].mean())}
        return Batch(mixture(shares, images), mixture(shares, labels), did)
