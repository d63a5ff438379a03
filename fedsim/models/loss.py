"""What clients minimise."""

import torch.nn.functional as F  # noqa: N812  (the name that everybody knows)
from torch import Tensor


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the mean cross-entropy, over positions too if a model predicts one label for each.

    Args:
        logits: ``(N, classes)``, or ``(N, L, classes)``.
        labels: classes ``(N,)`` or ``(N, L)``, where -100 asks for nothing; or probabilities of
            the shape of the logits.
    """
    if logits.ndim == 3 and labels.ndim == 2:
        return F.cross_entropy(logits.flatten(0, 1), labels.flatten())
    return F.cross_entropy(logits, labels)
