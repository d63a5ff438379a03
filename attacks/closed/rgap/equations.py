"""Equations for what enters a layer, or what enters the layers before it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from fedsim.attacks.closed.rgap.convolution import Convolution, gradient_equations
from fedsim.attacks.closed.rgap.recursion import ACTIVATIONS, Known, Layer

GRADIENT_WEIGHT = 3.0
"""Weight of the gradient's equations relative to the output's, where the gradient was pruned.

Found on eight public pictures of clothes, of whose gradients 70 % was pruned: 82 dB at the least in
542 products with the equations; with the weight of whole gradients, 100, it is 70 dB in 1,146.
"""

Gradient = Mapping[str, Tensor]
Pair = tuple[Tensor, Tensor]
"""Values of the equations of a layer's output, and of those of its weights' gradient."""


class Residuals:
    """Residuals of a layer's equations, as a function of what enters the layers before it.

    Attributes:
        linear: whether they are linear.
        shape: shape ``(V, ...)`` of their unknowns.

    Args:
        between: the layers before, in order; none if the layer's own input is the unknown.
        layer: a convolution or dense layer.
        known: what is known at its output.
        gradient: the gradients of the victims by name, in float64.
        kept: 1 where a coordinate has survived, else 0.
    """

    def __init__(
        self,
        between: Sequence[Layer],
        layer: Layer,
        known: Known,
        gradient: Gradient,
        kept: Gradient,
    ) -> None:
        self._maps = [Map(each) for each in between]
        self._equations = _Equations(layer, known, gradient, kept)
        self.linear = all(type(each.module) not in ACTIVATIONS for each in between)
        self.shape = (len(known.features), *(between[0] if between else layer).entering)

    def at(self, x: Tensor) -> Pair:
        """Return the residuals; from now on, their derivatives are those at this point."""
        for each in self._maps:
            x = each.value(x)
        return self._equations.misfit(x)

    def push(self, change: Tensor) -> Pair:
        """Return the change of the residuals for a change of the unknowns."""
        for each in self._maps:
            change = each.push(change)
        return self._equations.push(change)

    def pull(self, pair: Pair) -> Tensor:
        """Return the transpose of `push`."""
        return self.back(self._equations.pull(*pair))

    def back(self, change: Tensor) -> Tensor:
        """Return the derivative by the unknowns for one by the input of the layer."""
        for each in reversed(self._maps):
            change = each.pull(change)
        return change


class Map:
    """A layer in float64, its derivative where it was last evaluated, and the transpose of that."""

    def __init__(self, layer: Layer) -> None:
        self._layer, self._module = layer, layer.module
        self._slope: Tensor | None = None
        if isinstance(layer.module, nn.Conv2d):
            self._convolution = Convolution(layer.module, layer.entering)
        elif isinstance(layer.module, nn.Linear):
            self._weight = layer.module.weight.detach().double()

    def value(self, x: Tensor) -> Tensor:
        """Return the output ``(V, *leaving)`` for an input ``(V, *entering)``."""
        if type(self._module) not in ACTIVATIONS:
            return self.push(x) + bias_of(self._module)
        out: Tensor = self._module(x)
        self._slope = ACTIVATIONS[type(self._module)](self._module).slope(out)
        return out

    def push(self, change: Tensor) -> Tensor:
        """Return the change of the output for a change of the input."""
        if isinstance(self._module, nn.Conv2d):
            return self._convolution.push(change)
        if isinstance(self._module, nn.Linear):
            return change @ self._weight.T
        return (
            change.reshape(-1, *self._layer.leaving)
            if self._slope is None
            else change * self._slope
        )

    def pull(self, change: Tensor) -> Tensor:
        """Return the transpose of `push`."""
        if isinstance(self._module, nn.Conv2d):
            return self._convolution.pull(change).view(-1, *self._layer.entering)
        if isinstance(self._module, nn.Linear):
            return change @ self._weight
        return (
            change.reshape(-1, *self._layer.entering)
            if self._slope is None
            else change * self._slope
        )


def bias_of(module: nn.Module) -> Tensor | float:
    """Return a layer's bias, which broadcasts to outputs ``(V, *leaving)``; 0 if it has none."""
    bias = getattr(module, "bias", None)
    if bias is None:
        return 0.0
    values: Tensor = bias.detach().double()
    return values[:, None, None] if isinstance(module, nn.Conv2d) else values


def quotient(outer: Tensor, delta: Tensor, there: Tensor) -> tuple[Tensor, Tensor]:
    """Return the factor ``(V, I)`` of an outer product by its other one, and where it is known.

    Args:
        outer: the product, ``(V, O, I)``.
        delta: the other factor, ``(V, O)``.
        there: 1 where a coordinate of the product is known, else 0.
    """
    size = (there * delta[:, :, None] ** 2).sum(1)
    return ratio((there * outer * delta[:, :, None]).sum(1), size), (size > 0).double()


class _Equations:
    """Linear equations for the input of a layer: from its output, and from its gradient."""

    def __init__(self, layer: Layer, known: Known, gradient: Gradient, kept: Gradient) -> None:
        outer, there = gradient[f"{layer.name}.weight"], kept[f"{layer.name}.weight"]
        self._map = Map(layer)
        wanted = known.features - bias_of(layer.module)
        tiny = torch.finfo(wanted.dtype).tiny
        size = (known.certain * wanted**2).flatten(1).mean(1).clamp(min=tiny)
        self._certain = known.certain * each_like(size.rsqrt(), wanted)
        self._output = self._certain * wanted
        self._columns: Tensor | None = None
        if isinstance(layer.module, nn.Conv2d):
            self._rows, values = gradient_equations(
                layer.module, known.delta, outer, layer.entering, GRADIENT_WEIGHT
            )
            self._columns = self._rows.mT.contiguous()
            self._there = there.permute(0, 2, 1, 3, 4).reshape(values.shape)
        else:
            weight = (GRADIENT_WEIGHT / outer.square().mean((1, 2)).clamp(min=tiny)).sqrt()
            size = (there * known.delta[:, :, None] ** 2).sum(1)
            self._rows = weight[:, None] * size.sqrt()
            values = self._rows * quotient(outer, known.delta, there)[0]
            self._there = torch.ones_like(values)
        self._values = self._there * values

    def misfit(self, features: Tensor) -> Pair:
        """Return the residuals for an input ``(V, *entering)``."""
        output, values = self.push(features)
        return output - self._output, values - self._values

    def push(self, change: Tensor) -> Pair:
        """Return the change of the residuals for a change of the input."""
        output = self._certain * self._map.push(change)
        if self._columns is None:
            return output, self._rows * change
        return output, self._there * (change.flatten(2) @ self._columns)

    def pull(self, output: Tensor, values: Tensor) -> Tensor:
        """Return the transpose of `push`."""
        from_output = self._map.pull(self._certain * output)
        if self._columns is None:
            return from_output + self._rows * values
        return from_output + ((self._there * values) @ self._rows).view_as(from_output)


def each_like(each: Tensor, x: Tensor) -> Tensor:
    """Return one number for each victim ``(V,)`` in a shape that broadcasts to ``(V, ...)``."""
    return each.view(-1, *[1] * (x.ndim - 1))


def ratio(one: Tensor, other: Tensor) -> Tensor:
    """Return the ratio of two tensors, of which the second is at least 0: finite also there."""
    return one / other.clamp(min=torch.finfo(other.dtype).tiny)
