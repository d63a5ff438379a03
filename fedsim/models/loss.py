"""Loss function of the clients."""

import torch.nn.functional as F  # noqa: N812  (the name that everybody knows)
from torch import Tensor


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the mean cross-entropy, also over positions if the model predicts a label for each.

    Args:
        logits: ``(N, classes)``, or ``(N, L, classes)``.
        labels: classes ``(N,)`` or ``(N, L)``, where -100 marks a position without a label; or
            probabilities with the shape of the logits.
    """
    if logits.ndim == 3 and labels.ndim == 2:
        return F.cross_entropy(logits.flatten(0, 1), labels.flatten())
    return F.cross_entropy(logits, labels)
