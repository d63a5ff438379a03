"""Labels of a batch whose gradient was made smaller by an unknown factor, as by clipping."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from fedsim.attacks.labels.infer import head_gradient, mean_probabilities, shares_of, whole_counts
from fedsim.attacks.types import Observation

NEAR = tuple(0.6 + 0.02 * i for i in range(46))
"""Factors that are tried, in units of the first estimate."""


def unscaled(model: nn.Module, observation: Observation) -> Observation:
    """Return the observation with its gradient divided by the unknown factor.

    The gradient of a logit is the mean probability of its class minus the class's share in the
    batch, times the factor. Most classes with a positive gradient have no example, so there it is
    the probability alone, which the ratio of the layer's two gradients tells whatever the factor.
    Near this first estimate the factor is chosen for which the shares are closest to whole counts.
    We know of no source for this.

    Args:
        model: the model that the client received.
        observation: of a gradient of one batch. Returned as it is for one example, whose label does
            not depend on the factor, for known labels and for several local steps.

    Raises:
        AttackError: the model has no dense layer, or its gradient was not shared.
    """
    if observation.labels is not None or observation.training is not None:
        return observation
    if observation.batch_size == 1 or not observation.is_classification:
        return observation
    layer, weight, logits = head_gradient(model, observation.gradient, observation.input_shape)
    positive = logits > 0
    if not positive.any():
        return observation
    guess = logits[positive].sum() / mean_probabilities(layer, weight, logits)[positive].sum()
    tried = [near * guess for near in NEAR if near * guess >= logits.abs().max()]
    if not tried:
        return observation
    misfits = [_misfit(layer, weight / f, logits / f, observation.batch_size) for f in tried]
    factor = float(tried[int(torch.stack(misfits).argmin())])
    gradient = {k: g / factor for k, g in observation.gradient.items()}
    return replace(observation, gradient=gradient)


def _misfit(layer: nn.Linear, weight: Tensor, logits: Tensor, batch_size: int) -> Tensor:
    """Return the squared distance of the classes' shares from those of whole counts."""
    shares, exact = shares_of(layer, weight, logits)
    counts = whole_counts(shares, logits, batch_size)
    return (batch_size * exact - counts).square().sum()
