"""Random sparsification."""

from collections.abc import Mapping
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from fedsim.clients.defenses.base import Defense, Protected
from fedsim.clients.defenses.tensors import kept_fraction, map_floating
from fedsim.clients.defenses.wire import full_bits
from fedsim.core.registry import DEFENSES


@DEFENSES.register("random-sparsification")
class RandomSparsification(Defense):
    """Set values to zero at random, independently of their magnitude.

    Each value has the probability ``fraction``, independently and anew in each round. Source:
    Konečný et al., Federated Learning: Strategies for Improving Communication Efficiency, 2016
    (arXiv 1610.05492), section 3, "subsampling". The positions of the kept values count on the
    wire, although a seed would suffice.
    """

    identity: ClassVar[Mapping[str, object] | None] = {"fraction": 0.0}

    fraction: Annotated[
        float,
        Field(
            ge=0, lt=1, examples=[0.5], description="probability with which a value is set to zero"
        ),
    ]
    unbiased: Annotated[
        bool,
        Field(
            examples=[True],
            description="divide kept values by 1 - fraction, so that the mean does not change",
        ),
    ]

    def protect_upload(self, upload: Mapping[str, Tensor], generator: torch.Generator) -> Protected:
        """Sparsify; reports ``kept_fraction``, the share of coordinates that are then not zero."""
        if not self.fraction:
            return Protected(dict(upload), did=kept_fraction(upload))
        factor = 1 / (1 - self.fraction) if self.unbiased else 1.0

        def sparse(x: Tensor) -> Tensor:
            draws = torch.rand(
                x.shape, dtype=torch.float64, generator=generator, device=generator.device
            )
            dropped = (draws < self.fraction).to(x.device)
            return (x * factor).masked_fill(dropped, 0.0)

        tensors = map_floating(upload, sparse)
        return Protected(
            tensors,
            value_bits=full_bits(upload) if self.unbiased else None,
            did=kept_fraction(tensors),
        )
