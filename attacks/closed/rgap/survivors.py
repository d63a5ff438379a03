"""R-GAP on a pruned gradient: the equations that are left.

A pruned coordinate tells only that it was small. The others are equations as before, but at a
convolution they may be fewer than the numbers that enter it. Then the unknowns are the numbers at
the narrowest place before it, from which the layers between lead to it: in the paper's network with
pictures of 28 x 28, the second convolution has 2,352 inputs, which are a function of 784 pixels.
Where activations are between, the equations are not linear, and are solved step by step. The paper
(Zhu and Blaschko, ICLR 2021) has neither; we know of no source for this.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F  # noqa: N812  (the name that everybody knows)
from torch import Tensor, nn

from fedsim.attacks.closed.rgap.equations import (
    Gradient,
    Map,
    Residuals,
    bias_of,
    quotient,
    ratio,
)
from fedsim.attacks.closed.rgap.least_squares import solved
from fedsim.attacks.closed.rgap.recursion import Known, Layer, before

HEAD_ROUNDS = 3
"""Times that the features are computed from the derivative that the last ones give."""
ENOUGH = 1.5
"""Equations for each unknown of a layer's input, below which the unknowns are sought before it.

More than one, since few equations more than unknowns make a system that hardly tells them apart.
"""
AGREES = 1e-2
"""Relative residual up to which features explain what survives of the last layer's gradient."""


def features_of(
    head: Layer, gradient: Gradient, kept: Gradient, labels: Tensor
) -> tuple[Known, Tensor]:
    """Return the known quantities before the last layer, and whether they are complete, ``(V,)``.

    The gradient is an outer product of the features and the derivative by the logits. The features
    that it gives tell the probabilities, and those the derivative by every logit, up to a factor by
    which a defense may have scaled the whole gradient. Magnitudes are pruned last in the row of the
    label, which has the largest derivative.

    Args:
        head: the last layer.
        gradient: gradient of the cross-entropy of one example, by parameter name, in float64, each
            with the victims as its first axis ``(V, ...)``.
        kept: 1 where a coordinate has survived, else 0.
        labels: ``(V,)``.
    """
    assert isinstance(head.module, nn.Linear)  # noqa: S101  (`layers_of` checks it)
    weight = head.module.weight.detach().double()
    outer, there = gradient[f"{head.name}.weight"], kept[f"{head.name}.weight"]
    seen, seen_there = gradient[f"{head.name}.bias"], kept[f"{head.name}.bias"]
    label = F.one_hot(labels, len(weight)).double()
    features, certain = quotient(outer, seen, there * seen_there[:, :, None])
    for _ in range(HEAD_ROUNDS):
        delta = torch.softmax(features @ weight.T + bias_of(head.module), 1) - label
        factor = ratio((seen * delta).sum(1), (seen_there * delta**2).sum(1))
        delta = delta * factor[:, None]
        features, certain = quotient(outer, delta, there)
    rest = there * (outer - delta[:, :, None] * features[:, None])
    unsure = [rest.flatten(1), seen_there * (seen - delta)]
    whole = [outer.flatten(1), seen]
    agree = [r.norm(dim=1) <= AGREES * w.norm(dim=1) for r, w in zip(unsure, whole, strict=True)]
    return Known(features, delta @ weight, certain), certain.all(1) & agree[0] & agree[1]


def invert_survivors(
    layers: Sequence[Layer], known: Known, gradient: Gradient, kept: Gradient
) -> Tensor:
    """Return the inputs of the network, ``(V, *input_shape)`` in float64.

    Args:
        layers: the layers of the network, from `layers_of`.
        known: what is known before the last one.
        gradient: see `features_of`.
        kept: see `features_of`.
    """
    place = len(layers) - 2
    while place >= 0:
        layer = layers[place]
        if not isinstance(layer.module, (nn.Linear, nn.Conv2d)):
            known, place = before(layer, known), place - 1
            continue
        if f"{layer.name}.bias" in kept and isinstance(layer.module, nn.Linear):
            told = kept[f"{layer.name}.bias"] > 0  # what the bias tells has no errors yet
            delta = torch.where(told, gradient[f"{layer.name}.bias"], known.delta)
            known = replace(known, delta=delta)
        begin = place
        if _equations(layer, known, kept) < ENOUGH * math.prod(layer.entering):
            begin = min(range(place, -1, -1), key=lambda i: math.prod(layers[i].entering))
        residuals = Residuals(layers[begin:place], layer, known, gradient, kept)
        found = solved(residuals, known.features)
        residuals.at(found)
        delta = residuals.back(Map(layer).pull(known.delta))
        known, place = Known(found, delta, torch.ones_like(found)), begin - 1
    return known.features


def _equations(layer: Layer, known: Known, kept: Gradient) -> float:
    """Return the number of independent equations for what enters a layer, at the most.

    The mean over the victims. For each input channel of a convolution those of the gradient are as
    many as have survived, or as the channel has places; for an input of a dense layer one at most.
    """
    there = kept[f"{layer.name}.weight"].transpose(1, 2).flatten(2).sum(2)
    places = math.prod(layer.entering[1:])
    return float(known.certain.flatten(1).sum(1).mean() + there.clamp(max=places).sum(1).mean())
