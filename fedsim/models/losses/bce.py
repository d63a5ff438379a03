"""Binary cross-entropy."""

from __future__ import annotations

import torch.nn.functional as F  # noqa: N812  (the name that everybody knows)
from torch import Tensor

from fedsim.core.registry import LOSSES
from fedsim.models.losses.base import Loss


@LOSSES.register("bce")
class BinaryCrossEntropy(Loss):
    """Binary cross-entropy of each class's or label's logit, as ``torch.nn.BCEWithLogitsLoss``."""

    def of_rows(self, outputs: Tensor, target: Tensor) -> Tensor:
        """Return the mean over the examples and the classes."""
        return F.binary_cross_entropy_with_logits(outputs, target)
