"""Functions shared by the defenses that mix images."""

import torch
import torch.nn.functional as F  # noqa: N812  (the name that everybody knows)
from torch import Tensor

from fedsim.clients.defenses.base import Batch, Private


def with_others(batch: Batch, private: Private, others: int) -> tuple[Tensor, Tensor]:
    """Return each image together with other images of the client, and all labels.

    Args:
        batch: N images.
        private: source of the other images, drawn independently per image.
        others: number of other images for each image.

    Returns: ``(N, 1 + others, C, H, W)``, the batch's own images first, and ``(N, 1 + others,
        classes)``.
    """
    images, labels = private.draw(len(batch.inputs) * others)
    images = images.to(batch.inputs).view(len(batch.inputs), others, *batch.inputs.shape[1:])
    drawn = probabilities(labels.to(batch.labels.device), private.num_classes, images.dtype)
    own = probabilities(batch.labels, private.num_classes, images.dtype)
    return (
        torch.cat([batch.inputs[:, None], images], dim=1),
        torch.cat([own[:, None], drawn.view(len(own), others, -1)], dim=1),
    )


def probabilities(labels: Tensor, num_classes: int, dtype: torch.dtype) -> Tensor:
    """Return classes ``(N,)`` as rows of probabilities ``(N, classes)``; rows are unchanged."""
    return (labels if labels.ndim == 2 else F.one_hot(labels.long(), num_classes)).to(dtype)


def mixture(shares: Tensor, things: Tensor) -> Tensor:
    """Return the sum of ``things`` ``(N, k, ...)`` weighted by ``shares`` ``(N, k)``."""
    return torch.einsum("nk,nk...->n...", shares.to(things), things)
