"""Several rounds together: the uploads of a client that uses the same batch in each of them.

A server sees the same clients again and again. Noise that is drawn anew in each round averages out,
and what one round withholds another one sends. `over_rounds` combines the rounds of one client into
one observation of one model, which any attack by gradient matching takes.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from fedsim.attacks.assumptions import Loss
from fedsim.attacks.functional import count_classes
from fedsim.attacks.labels.infer import infer_labels
from fedsim.attacks.types import Observation
from fedsim.core.errors import AttackError


class Rounds(nn.Module):
    """The global models of several rounds, on the same inputs.

    Outputs ``(N, rounds, classes)``. The gradient of the sum of the rounds' losses has the
    gradient of each round at the parameters of that round, and at no other.

    Args:
        models: the global model of each round.
        num_outputs: size of one model's output.
    """

    def __init__(self, models: Sequence[nn.Module], num_outputs: int) -> None:
        super().__init__()
        self.rounds = nn.ModuleList(copy.deepcopy(model) for model in models)
        self.num_outputs = num_outputs

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the outputs of each round's model."""
        return torch.stack([model(inputs) for model in self.rounds], dim=1)


def over_rounds(
    models: Sequence[nn.Module], observations: Sequence[Observation]
) -> tuple[Rounds, Observation]:
    """Return one model and one observation that stand for several rounds of one client.

    The client must have used the same examples in each round, all of them in one step: a client
    whose batch is its whole partition does. Its labels are those that the mean of the rounds'
    gradients shows, unless they are public. The objective is the sum over the rounds, each at its
    own weights: with a likelihood of the noise it is that of all uploads, and coordinates that are
    left out of one upload are read from the others. An objective that reads the norm of the whole
    upload, such as that of clipping, does not fit several uploads at once, and `truth_fit` says so.

    Args:
        models: the global model that each upload answers.
        observations: the uploads, one for each round.

    Raises:
        AttackError: the rounds do not fit together, or have several local steps.
    """
    first = observations[0] if observations else None
    if first is None or len(models) != len(observations):
        raise AttackError(
            f"{len(models)} models for {len(observations)} observations: expected one for each "
            "round, and at least one round"
        )
    if any(o.training is not None for o in observations):
        raise AttackError(
            "several local steps: the order of the examples differs between rounds; expected "
            "gradients, or updates of one step"
        )
    shapes = {(o.input_shape, o.batch_size, o.lengths) for o in observations}
    if len(shapes) > 1 or any(o.loss is not first.loss for o in observations):
        raise AttackError("the rounds differ in batch size, shape or loss: expected the same batch")
    joint = {
        f"rounds.{i}.{name}": gradient
        for i, o in enumerate(observations)
        for name, gradient in o.gradient.items()
    }
    classes = count_classes(models[0], first.input_shape)
    labels = first.labels if first.labels is not None else _labels(models[0], observations)
    return Rounds(models, classes), replace(
        first, gradient=joint, labels=labels, loss=_sum_of(first.loss), statistics=None
    )


@functools.cache
def _sum_of(loss: Loss) -> Loss:
    """Return the sum of the rounds' losses."""

    def total(outputs: Tensor, target: Tensor) -> Tensor:
        return torch.stack([loss(own, target) for own in outputs.unbind(1)]).sum()

    return total


def _labels(model: nn.Module, observations: Sequence[Observation]) -> Tensor:
    """Return the labels that the mean gradient shows, whose noise is the smallest."""
    first = observations[0]
    mean = {k: torch.stack([o.gradient[k] for o in observations]).mean(0) for k in first.gradient}
    return infer_labels(model, mean, first.input_shape, first.batch_size)
