"""Mixup: training on mixtures of two images and of their labels."""

from typing import Annotated, ClassVar

import torch
from pydantic import Field

from fedsim.clients.defenses.base import Batch, Defense, Private
from fedsim.clients.defenses.mixing import mixture, with_others
from fedsim.core.modality import PICTURES
from fedsim.core.registry import DEFENSES


@DEFENSES.register("mixup")
class Mixup(Defense):
    """Train on ``a x + (1 - a) x'``, with labels mixed like the images, a from Beta(alpha, alpha).

    Source: Zhang et al., mixup: Beyond Empirical Risk Minimization, ICLR 2018 (arXiv 1710.09412),
    section 2. In the paper x' is another image of the batch and a is the same for the whole batch;
    here x' is drawn from all of the client's images, so a batch of one is mixed too, and each image
    has its own share. If the client has few images, x' may be x itself.
    """

    modalities: ClassVar[frozenset[str] | None] = frozenset({PICTURES})

    alpha: Annotated[
        float,
        Field(
            gt=0,
            le=1e6,
            examples=[1.0],
            description="parameter of Beta(alpha, alpha): if small, one image dominates; if large, "
            "both have the same share",
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
