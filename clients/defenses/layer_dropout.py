"""Partial upload: random tensors are withheld."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from fedsim.clients.defenses.base import Defense, Protected
from fedsim.clients.defenses.tensors import floating, kept_fraction
from fedsim.core.registry import DEFENSES


@DEFENSES.register("partial-upload")
class PartialUpload(Defense):
    """Withhold some tensors, drawn anew for each upload.

    Of n tensors floor(fraction * n) are set to zero and not sent. After Wang et
    al., Why Go Full? Elevating Federated Learning Through Partial Network Updates, NeurIPS 2024
    (arXiv 2410.11559), which trains and sends the layers in turn; here all layers are trained and
    the withheld ones are random. Withheld values are dropped, not accumulated for later rounds.
    """

    identity: ClassVar[Mapping[str, object] | None] = {"fraction": 0.0}

    fraction: Annotated[
        float,
        Field(ge=0, le=1, examples=[0.5], description="share of the tensors that is not sent"),
    ]

    def protect_upload(self, upload: Mapping[str, Tensor], generator: torch.Generator) -> Protected:
        """Withhold tensors; reports ``kept_fraction`` and ``kept_tensors``.

        The first is the share of coordinates that are then not zero, the second the number of
        tensors that were sent.
        """
        names = list(floating(upload))
        # As a decimal, since 0.29 * 100 in binary is below 29.
        count = int(Decimal(repr(float(self.fraction))) * len(names))
        # On the generator's device, where a permutation has to be drawn.
        order = torch.randperm(len(names), generator=generator, device=generator.device).tolist()
        dropped = {names[i]: torch.zeros_like(upload[names[i]]) for i in order[:count]}
        tensors = {**upload, **dropped}
        kept = {"kept_tensors": float(len(names) - count)} if names else {}
        return Protected(tensors, did={**kept_fraction(tensors), **kept})
