"""Imprint layer in front of the model."""

from __future__ import annotations

import copy
import math
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from fedsim.core.registry import MANIPULATIONS
from fedsim.models.blocks import Imprinted
from fedsim.server.malicious.base import Changed, Manipulation, Public
from fedsim.server.malicious.decoys import TUNED, random_rows, rows_of_bins


@MANIPULATIONS.register("imprint")
class Imprint(Manipulation):
    """Imprint layer: a dense layer in front of the model sorts pictures into bins of brightness.

    Fowl et al., Robbing the Fed (arXiv 2110.13057): each row of the layer measures the mean
    brightness of a picture, and its bias is a quantile of it, so that the difference of two
    neighbouring rows' gradients holds the pictures between two quantiles. A picture alone in its
    bin is exact. The architecture changes: clients must run what they are sent. Unlike the authors'
    code (``imprint.py`` in JonasGeiping/breaching), which takes the quantiles of a normal
    distribution, those of public pictures are used, and the way back to the size of a picture has
    rank one.

    A ``tuned`` layer has its bins among rows in random directions, more of these than bins, so that
    a check for rows that are multiples sees no majority. The inserted layer stays visible.
    """

    readout: ClassVar[str] = "dense-bins"
    block: ClassVar[str | None] = "imprint"

    bins: Annotated[
        int, Field(ge=2, le=100_000, examples=[64], description="rows of the imprint layer")
    ] = 512
    strength: Annotated[
        float,
        Field(
            gt=0,
            le=1e3,
            examples=[0.1],
            description="change of a pixel per unit of brightness; it drowns the noise of a "
            "defense, and costs accuracy",
        ),
    ] = 0.1
    tuned: Annotated[bool, Field(description=TUNED)] = False

    def architecture(self, model: nn.Module, input_shape: tuple[int, ...]) -> nn.Module:
        """Return a copy of the model behind an imprint layer, whose values are undefined."""
        return Imprinted(copy.deepcopy(model), math.prod(input_shape), self.bins)

    def change(self, model: nn.Module, public: Public, generator: torch.Generator) -> Changed:
        """Return the model behind the imprint layer."""
        made = self.architecture(model, tuple(public.inputs.shape[1:]))
        numbers = public.inputs[0].numel()
        signs = torch.randint(2, (numbers, 1), generator=generator) * 2.0 - 1
        own = rows_of_bins(self.bins, generator, tuned=self.tuned)
        limits = brightness_limits(public.inputs, len(own))
        weight, bias = (made.get_parameter(f"imprint.{k}") for k in ("weight", "bias"))
        with torch.no_grad():
            if self.tuned:
                weight.copy_(random_rows(self.bins, numbers, generator) / numbers**0.5)
                bias.zero_()
            weight[own] = 1 / numbers
            bias[own] = -limits.to(bias)
            made.get_parameter("gather.weight").fill_(self.strength / self.bins)
            made.get_parameter("spread.weight").copy_(signs)
        inserted = [f"imprint.{k}" for k in ("weight", "bias")] + ["gather.weight", "spread.weight"]
        what = f"put a layer of {len(own)} bins of brightness in front of the model"
        if self.tuned:
            what += f", hidden among {self.bins - len(own)} random rows"
        expected = alone_in_theory(public.batch_size, len(own))
        return Changed(made, what, tuple(inserted), expected)


def brightness_limits(pictures: Tensor, bins: int) -> Tensor:
    """Return the lower limits of bins of equal public mass ``(bins,)``, the first below all.

    Args:
        pictures: public pictures ``(N, *shape)``.
        bins: number of bins.
    """
    brightness = pictures.flatten(1).double().mean(1)
    shares = torch.arange(bins, dtype=torch.float64) / bins
    limits = torch.quantile(brightness, shares)
    limits[0] = brightness.min() - (brightness.max() - brightness.min()) - 1e-3
    return limits


def alone_in_theory(batch_size: int, bins: int) -> float:
    """Return the expected share of examples that are alone in one of equally likely bins."""
    return float((1 - 1 / bins) ** (batch_size - 1))
