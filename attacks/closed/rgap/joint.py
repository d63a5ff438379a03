"""R-GAP where a layer has fewer equations than inputs: pruned gradients, and batches.

A pruned coordinate tells only that it was small, and of the gradients of a batch only the sum is
known; all else are equations as before. Where they are fewer than the numbers that enter a layer,
the unknowns are the numbers at the narrowest place before it, from which the layers between lead to
it: in the paper's network with pictures of 28 x 28, the second convolution has 2,352 inputs, which
are a function of 784 pixels. With activations between, the equations are not linear, and are solved
step by step. Zhu and Blaschko (ICLR 2021) do neither; we know of no source for this.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from fedsim.attacks.closed.rgap.equations import Gradient, Residuals
from fedsim.attacks.closed.rgap.least_squares import solved
from fedsim.attacks.closed.rgap.recursion import Known, Layer, before
from fedsim.core.errors import AttackError

ENOUGH = 1.5
"""Equations for each unknown of a layer's input, below which the unknowns are sought before it.

More than one, since few equations more than unknowns make a system that hardly tells them apart.
"""
FEWEST = 1.2
"""Equations for each unknown, below which none is sought."""


def invert_jointly(
    layers: Sequence[Layer], known: Known, gradient: Gradient, kept: Gradient
) -> Tensor:
    """Return the inputs of the network, ``(V * B, *input_shape)`` in float64.

    Args:
        layers: the layers of the network, from `layers_of`.
        known: what is known before the last one, ``(V * B, ...)``.
        gradient: gradient of the cross-entropy of ``B`` examples, by parameter name, in float64,
            each with the victims as its first axis ``(V, ...)``.
        kept: 1 where a coordinate has survived, else 0.

    Raises:
        AttackError: the equations are fewer than the unknowns.
    """
    place = len(layers) - 2
    while place >= 0:
        layer = layers[place]
        if not isinstance(layer.module, (nn.Linear, nn.Conv2d)):
            known, place = before(layer, known), place - 1
            continue
        begin = _beginning(layers[: place + 1], known, kept)
        residuals = Residuals(layers[begin:place], layer, known, gradient, kept)
        found = solved(residuals, known.features)
        residuals.at(found)
        inside = found.flatten(0, 1)
        known = Known(inside, residuals.delta(known.delta), torch.ones_like(inside))
        place = begin - 1
    return known.features


def _beginning(layers: Sequence[Layer], known: Known, kept: Gradient) -> int:
    """Return the layer whose input is the unknown of the last one's equations.

    Raises:
        AttackError: the equations are fewer than the numbers that enter any of them.
    """
    last, place = layers[-1], len(layers) - 1
    victims = len(kept[f"{last.name}.weight"])
    examples = len(known.features) // victims
    equations = _equations(last, known, kept[f"{last.name}.weight"], examples)
    sizes = [examples * math.prod(layer.entering) for layer in layers]
    if equations >= ENOUGH * sizes[place]:
        return place
    narrowest = min(range(place, -1, -1), key=sizes.__getitem__)
    if equations < FEWEST * sizes[narrowest]:
        raise AttackError(
            f"layer {last.name!r} gives {equations:.0f} equations for {sizes[narrowest]} unknowns; "
            "use an attack that matches gradients"
        )
    return narrowest


def _equations(layer: Layer, known: Known, kept: Tensor, examples: int) -> float:
    """Return the number of a victim's independent equations at the most, the mean over victims.

    For each input channel of a convolution those of the gradient are as many as have survived, or
    as the channel has places in all examples; for an input of a dense layer one for each example.
    """
    of_output = known.certain.sum() / len(kept)
    places = examples * math.prod(layer.entering[1:])
    of_gradient = kept.transpose(1, 2).flatten(2).sum(2).clamp(max=places).sum(1)
    return float(of_output + of_gradient.mean())
