"""Mean squared error."""

from __future__ import annotations

import torch.nn.functional as F  # noqa: N812  (the name that everybody knows)
from torch import Tensor

from fedsim.core.registry import LOSSES
from fedsim.models.losses.base import Loss


@LOSSES.register("mse")
class MeanSquaredError(Loss):
    """Squared error of the outputs from the target, as ``torch.nn.MSELoss``.

    The target of a class is its one-hot row.
    """

    def of_rows(self, outputs: Tensor, target: Tensor) -> Tensor:
        """Return the mean over the examples and the classes."""
        return F.mse_loss(outputs, target)
