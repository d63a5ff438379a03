"""Closed form for single examples between the thresholds of a dense first layer."""

from __future__ import annotations

from dataclasses import replace
from typing import Self

import torch
from torch import Tensor, nn

from fedsim.attacks.adaptive.public import PublicPictures
from fedsim.attacks.closed.batches import BatchReading, Candidates
from fedsim.attacks.closed.front import Front, front_of
from fedsim.attacks.closed.latents import Latents, latents_of
from fedsim.core.checked import CodeOnly
from fedsim.core.errors import AttackError
from fedsim.core.registry import ATTACKS

EMPTY = 1e-6
"""Size of a bin's bias gradient, in units of the largest, below which it is rounding error."""

SAME = 1e-5
"""Relative distance up to which two rows count as equal."""


@ATTACKS.register("dense-bins")
class DenseBins(BatchReading):
    """Dense bins: differences of neighbouring rows of a layer that sorts examples by one measure.

    The rows of the layer are equal, with different thresholds, and each row that an example passes
    has the same gradient. The difference of two rows with neighbouring thresholds
    then holds the examples between them; divided by the difference of the bias gradients, one
    example alone is exact (Fowl et al., Robbing the Fed, arXiv 2110.13057). A malicious server
    sends such a layer (`imprint`); other layers are refused. Rows among them that are different are
    left out.

    If layers in front of it are no linear map (`scale-mia`), it searches for the picture whose
    input of the layer was read, from a regression on public pictures where there are any.
    """

    public: CodeOnly[PublicPictures | None] = None

    def with_public_pictures(self, images: Tensor) -> Self:
        """Return a copy that begins its searches with a regression on public pictures."""
        return replace(self, public=PublicPictures(images, None))

    def _front(self, model: nn.Module, low: Tensor, high: Tensor) -> Front | Latents:
        try:
            return front_of(model, low, high)
        except AttackError:
            front = latents_of(
                model, low, high, None if self.public is None else self.public.images
            )
        layer = model.get_submodule(front.layer)
        sorting_rows(layer.get_parameter("weight").detach().double(), layer.get_parameter("bias"))
        return front

    def _candidates(
        self, weight: Tensor, bias: Tensor, weight_gradient: Tensor, bias_gradient: Tensor
    ) -> Candidates:
        rows = sorting_rows(weight, bias)
        order = rows[torch.argsort(-bias[rows])]
        passed_weight, passed_bias = weight_gradient[order], bias_gradient[order]
        between = passed_bias - torch.cat([passed_bias[1:], passed_bias.new_zeros(1)])
        holds = passed_weight - torch.cat([passed_weight[1:], torch.zeros_like(passed_weight[:1])])
        filled = between.abs() > EMPTY * between.abs().max()
        return Candidates(holds[filled] / between[filled, None], between[filled].abs())


def sorting_rows(weight: Tensor, bias: Tensor) -> Tensor:
    """Return the numbers of the rows of a layer that sort its inputs into bins ``(bins,)``.

    They are the largest group of equal rows, not zero, and have different thresholds. Rows are
    first compared by their product with a fixed random vector, so that this takes little more than
    one pass over the weights.

    Args:
        weight: weights of the layer ``(rows, numbers)``.
        bias: its biases ``(rows,)``.

    Raises:
        AttackError: no two rows are equal, or those that are have the same threshold.
    """
    live = weight.any(dim=1).nonzero().flatten()  # dead rows are equal, and sort nothing
    weight = weight[live]
    drawn = torch.randn(weight.shape[1], generator=torch.Generator().manual_seed(0))
    measured = weight @ drawn.to(weight)
    order = torch.argsort(measured)
    reach = SAME * weight.norm(dim=1)[order] * drawn.norm().to(weight)
    ends = torch.searchsorted(measured[order], measured[order] + reach, right=True)
    rows = live
    if len(live):
        first = int((ends - torch.arange(len(ends), device=ends.device)).argmax())
        model = weight[order[first]]
        rows = live[(weight - model).norm(dim=1) <= SAME * model.norm()]
    if not bool((bias[rows] != bias[rows[:1]]).any()):
        raise AttackError(
            "the first dense layer has no equal rows with different thresholds, which the bins "
            "need; use 'dense-rows', or an attack that matches gradients"
        )
    return rows
