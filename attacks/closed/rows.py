"""Closed form for single examples behind the rows of a dense first layer."""

from __future__ import annotations

from torch import Tensor

from fedsim.attacks.closed.batches import BatchReading, Candidates
from fedsim.core.registry import ATTACKS

SILENT = 1e-9
"""Size of a bias gradient, in units of the largest, below which it is rounding error."""


@ATTACKS.register("dense-rows")
class DenseRows(BatchReading):
    """Dense rows: each row of a dense first layer's gradient, divided by its bias gradient.

    A row that one example of the batch activates alone gives this example exactly; a row of several
    gives their mixture, weighted by their gradients. Behind ReLU few rows are of one example,
    unless the server made them so (Boenisch et al., arXiv 2112.02918). Unlike `dense`, it takes
    batches, and combines no rows.
    """

    def _candidates(
        self, weight: Tensor, bias: Tensor, weight_gradient: Tensor, bias_gradient: Tensor
    ) -> Candidates:
        sizes = bias_gradient.abs()
        alive = sizes > SILENT * sizes.max()
        quotients = weight_gradient[alive] / bias_gradient[alive, None]
        return Candidates(quotients, sizes[alive])
