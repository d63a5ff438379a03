"""A noise defense and its countermeasure, as somebody else would write them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from fedsim.attacks.adaptive import Answer, Countermeasure, Known
from fedsim.attacks.matching.objectives import Objective
from fedsim.clients.defenses import Defense, Protected
from fedsim.core.checked import checked

Share = Annotated[float, Field(gt=0, description="noise in units of a tensor's root mean square")]


@checked
class RelativeNoise(Defense):
    """Add Gaussian noise in proportion to each tensor's root mean square."""

    share: Share

    def protect_upload(self, upload: Mapping[str, Tensor], generator: torch.Generator) -> Protected:
        """Add the noise."""
        return Protected(
            {
                k: x + self.share * size(x) * torch.empty_like(x).normal_(generator=generator)
                for k, x in upload.items()
            }
        )


@dataclass(frozen=True)
class RelativeLikelihood(Objective):
    """Minus the log-likelihood under noise in proportion to each tensor's root mean square."""

    share: float

    def __call__(self, dummy: Mapping[str, Tensor], shared: Mapping[str, Tensor]) -> Tensor:
        """Return the distance, a scalar >= 0."""
        stds = {k: self.share * size(s).clamp(min=1e-12) for k, s in shared.items()}
        squares = [(((dummy[k] - shared[k]) / stds[k]) ** 2 / 2).sum() for k in shared]
        return torch.stack(squares).sum()


@checked
class ExpectRelativeNoise(Countermeasure):
    """Weigh the mismatch of each tensor by its own noise."""

    share: Share

    def answer(self, known: Known) -> Answer:
        """Return the likelihood of the noise."""
        std = self.share * known.gradient_rms
        return Answer(
            likelihood=RelativeLikelihood(self.share),
            spread=std,
            image_noise_std=std,
            hides_zeros=True,
        )


def size(x: Tensor) -> Tensor:
    """Return the root mean square of a tensor."""
    return x.square().mean().sqrt()
