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
    equations = _equations(last, kept[f"{last.name}.weight"], examples)
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


def _equations(layer: Layer, kept: Tensor, examples: int) -> float:
    """Return the number of a victim's independent equations at the most, the mean over victims.

    Pruning keeps as many coordinates of every victim, so that none decides for another. Of each
    place of an input, the gradient of a convolution tells one equation for each of its channels at
    the most, and that of a dense layer one.
    """
    of_output = examples * math.prod(layer.leaving)
    of_gradient = float(kept.flatten(1).sum(1).mean())
    return of_output + min(of_gradient, examples * math.prod(layer.entering))
