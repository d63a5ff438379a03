"""Closed form for single examples between the thresholds of a dense first layer."""

from __future__ import annotations

import torch
from torch import Tensor

from fedsim.attacks.closed.batches import BatchReading, Candidates
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
    sends such a layer (`imprint`); other layers are refused.
    """

    def _candidates(
        self, weight: Tensor, bias: Tensor, weight_gradient: Tensor, bias_gradient: Tensor
    ) -> Candidates:
        apart = (weight - weight[0]).norm(dim=1)
        if len(weight) < 2 or bool((apart > SAME * weight[0].norm()).any()):
            raise AttackError(
                "the rows of the first dense layer are not equal, which the bins need; use "
                "'dense-rows', or an attack that matches gradients"
            )
        order = torch.argsort(-bias)
        passed_weight, passed_bias = weight_gradient[order], bias_gradient[order]
        between = passed_bias - torch.cat([passed_bias[1:], passed_bias.new_zeros(1)])
        holds = passed_weight - torch.cat([passed_weight[1:], torch.zeros_like(passed_weight[:1])])
        filled = between.abs() > EMPTY * between.abs().max()
        return Candidates(holds[filled] / between[filled, None], between[filled].abs())
