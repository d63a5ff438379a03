"""Target of one example under a loss that is not the cross-entropy."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fedsim.attacks.functional import count_classes
from fedsim.attacks.matching.client import Client
from fedsim.attacks.types import Observation

MOST_OUTPUTS = 256


def solved_target(model: nn.Module, observation: Observation, inputs: Tensor) -> Tensor | None:
    """Return the target of known inputs, solved from the gradient by least squares.

    Under the squared error, the binary and the plain cross-entropy the gradient is an affine
    function of a target that has the shape of the outputs, so that one gradient for each output
    gives the system. Under other losses the result need not explain the gradient, which its
    objective tells. Own construction.

    Args:
        model: the model that the observation answers.
        observation: the victim.
        inputs: the model's inputs ``(N, *input_shape)``.

    Returns:
        ``(N, outputs)``; None if the loss does not take such targets, or they are too many.
    """
    count = len(inputs) * count_classes(model, observation.input_shape)
    if count > MOST_OUTPUTS:
        return None
    client = Client(model, loss=observation.loss)
    like = next(iter(client.parameters.values()))

    def gradient(target: Tensor) -> Tensor:
        found = client.upload(inputs.to(like), target.view(len(inputs), -1))
        return torch.cat([found[k].flatten() for k in client.parameters]).double()

    nothing = torch.zeros(count, dtype=like.dtype, device=like.device)
    try:
        base, columns = gradient(nothing), [gradient(row) for row in torch.eye(count).to(nothing)]
    except (RuntimeError, ValueError, IndexError, TypeError):
        return None
    if not bool(base.isfinite().all()):  # a mean over no example: affine among distributions alone
        base = torch.zeros_like(base)
    columns = [column - base for column in columns]
    seen = torch.cat([observation.gradient[k].flatten() for k in client.parameters]).to(base)
    if not all(bool(column.isfinite().all()) for column in columns):
        return None
    solved = torch.linalg.lstsq(torch.stack(columns, dim=1).cpu(), (seen - base).cpu()[:, None])
    target: Tensor = solved.solution.to(nothing).view(len(inputs), -1)
    return target if bool(target.isfinite().all()) else None
