"""Labels under another loss than the plain cross-entropy, by trying each class."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fedsim.attacks.labels.infer import head_gradient
from fedsim.attacks.types import Observation
from fedsim.core.derivatives import grad


def tried_labels(model: nn.Module, observation: Observation) -> Tensor:
    """Find the labels of one step's batch whose loss explains the classification layer's gradient.

    The ratio of the layer's two gradients is the mean of its input features, and so gives the
    outputs of a mean example. For each class the loss then has a gradient by these outputs. For one
    example the features are exact, and the class is the one whose gradient has the direction of the
    shared one, whatever its length. For a batch, classes are added one at a time so that the mean
    of their gradients comes closest, which is an estimate. Own construction.

    Args:
        model: the model that the client received. Not modified.
        observation: of one gradient, with a loss of classes.

    Returns:
        The labels in ascending order, ``(batch_size,)``, on the CPU.

    Raises:
        AttackError: the model has no dense last layer, or its gradient was not shared.
    """
    size = observation.batch_size
    layer, weight, seen = head_gradient(
        model, observation.gradient, observation.input_shape, single=size == 1
    )
    features = seen @ weight / (seen @ seen).clamp(min=torch.finfo(seen.dtype).tiny)
    outputs = layer.weight.detach().to("cpu", torch.float64) @ features
    if layer.bias is not None:
        outputs = outputs + layer.bias.detach().to("cpu", torch.float64)
    rows = torch.eye(len(outputs), dtype=torch.float64)

    def loss(outputs: Tensor, row: Tensor) -> Tensor:
        return observation.loss(outputs[None], row[None])

    each = torch.stack([grad(loss)(outputs, row) for row in rows])
    if size == 1:
        return torch.cosine_similarity(each, seen[None], dim=1).argmax().reshape(1)
    chosen: list[int] = []
    total = torch.zeros_like(seen)
    for count in range(1, size + 1):
        distance = ((total + each) / count - seen).square().sum(1)
        best = int(distance.argmin())
        chosen.append(best)
        total = total + each[best]
    return torch.tensor(sorted(_exchanged(chosen, each, seen)))


def _exchanged(chosen: list[int], each: Tensor, seen: Tensor) -> list[int]:
    """Return labels of which no single one can be replaced by a better one."""
    size = len(chosen)

    def distances(labels: list[int], position: int) -> Tensor:
        others = each[labels[:position] + labels[position + 1 :]].sum(0)
        return ((others + each) / size - seen).square().sum(1)

    for _ in range(size):
        before = list(chosen)
        for position in range(size):
            chosen[position] = int(distances(chosen, position).argmin())
        if chosen == before:
            break
    return chosen
