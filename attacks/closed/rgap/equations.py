"""Equations for what enters a layer, or the layers before it, of single examples and of batches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from fedsim.attacks.closed.rgap.convolution import Convolution, gradient_equations
from fedsim.attacks.closed.rgap.recursion import ACTIVATIONS, Known, Layer

GRADIENT_WEIGHT = 3.0
"""Weight of the gradient's equations relative to the output's.

Found on eight public pictures of clothes, of whose gradients 70 % was pruned: 82 dB at the least in
542 products with the equations; with the weight of whole gradients, 100, it is 70 dB in 1,146
(`tests/benchmarks/test_joint.py`).
"""

Gradient = Mapping[str, Tensor]
Pair = tuple[Tensor, Tensor]
"""Values of the equations of a layer's output, and of those of its weights' gradient."""


class Residuals:
    """Residuals of a layer's equations, as a function of what enters the layers before it.

    Each of ``V`` victims has ``B`` examples. The output of each example gives equations of its own,
    the gradient those of their sum.

    Attributes:
        linear: whether they are linear.
        shape: shape ``(V, B, ...)`` of their unknowns.

    Args:
        between: the layers before, in order; none if the layer's own input is the unknown.
        layer: a convolution or dense layer.
        known: what is known at its output, ``(V * B, ...)``.
        gradient: the gradients of the victims by name, ``(V, ...)`` in float64.
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
        name = f"{layer.name}.weight"
        self._maps, self._own = [_Map(each) for each in between], _Map(layer)
        kind = _OfConvolution if isinstance(layer.module, nn.Conv2d) else _OfDense
        self._of_gradient = kind(layer, known.delta, gradient[name], kept[name])
        self.linear = all(type(each.module) not in ACTIVATIONS for each in between)
        count, first = len(known.features), between[0] if between else layer
        victims = len(gradient[name])
        self.shape = (victims, count // victims, *first.entering)
        wanted = known.features - bias_of(layer.module)
        size = (known.certain * wanted**2).flatten(1).mean(1)
        self._certain = known.certain * each_like(ratio(torch.ones_like(size), size.sqrt()), wanted)
        self._wanted = self._certain * wanted

    def at(self, x: Tensor) -> Pair:
        """Return the residuals; from now on, their derivatives are those at this point."""
        inside = x.flatten(0, 1)
        for each in self._maps:
            inside = each.value(inside)
        output, values = self._pushed(inside)
        return output - self._wanted.view_as(output), values - self._of_gradient.values

    def push(self, change: Tensor) -> Pair:
        """Return the change of the residuals for a change of the unknowns."""
        inside = change.flatten(0, 1)
        for each in self._maps:
            inside = each.push(inside)
        return self._pushed(inside)

    def pull(self, pair: Pair) -> Tensor:
        """Return the transpose of `push`."""
        output, values = pair
        inside = self._own.pull(self._certain * output.flatten(0, 1))
        return self._back(inside + self._of_gradient.pull(values)).view(self.shape)

    def delta(self, leaving: Tensor) -> Tensor:
        """Return the loss's derivative by the unknowns for that by the output of the layer."""
        return self._back(self._own.pull(leaving))

    def _pushed(self, inside: Tensor) -> Pair:
        output = self._certain * self._own.push(inside)
        whole = output.view(self.shape[0], self.shape[1], *output.shape[1:])
        return whole, self._of_gradient.push(inside)

    def _back(self, inside: Tensor) -> Tensor:
        for each in reversed(self._maps):
            inside = each.pull(inside)
        return inside


class _Map:
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


class _OfConvolution:
    """Equations of a convolution's gradient, ``(V, I, m)``: the sum over a victim's examples."""

    def __init__(self, layer: Layer, delta: Tensor, gradient: Tensor, kept: Tensor) -> None:
        assert isinstance(layer.module, nn.Conv2d)  # noqa: S101  (dispatched on it)
        self._rows, values = gradient_equations(
            layer.module, delta, gradient, layer.entering, GRADIENT_WEIGHT
        )
        self._columns = self._rows.mT.contiguous()
        self._kept = kept.permute(0, 2, 1, 3, 4).reshape(values.shape)
        self.values, self._entering = self._kept * values, layer.entering

    def push(self, change: Tensor) -> Tensor:
        """Return their values for an input ``(V * B, I, H, W)``."""
        each = change.flatten(2) @ self._columns
        return self._kept * each.view(len(self._kept), -1, *each.shape[1:]).sum(1)

    def pull(self, values: Tensor) -> Tensor:
        """Return the transpose of `push`."""
        count = len(self._rows) // len(self._kept)
        each = (self._kept * values).repeat_interleave(count, 0)
        return (each @ self._rows).view(-1, *self._entering)


class _OfDense:
    """Equations of a dense layer's gradient, ``(V, O, I)``: the sum over a victim's examples."""

    def __init__(self, layer: Layer, delta: Tensor, gradient: Tensor, kept: Tensor) -> None:
        factor = ratio(gradient.new_tensor(GRADIENT_WEIGHT), gradient.square().mean((1, 2))).sqrt()
        self._delta = delta.view(len(gradient), -1, delta.shape[1])
        self._kept = kept * factor[:, None, None]
        self.values = self._kept * gradient

    def push(self, change: Tensor) -> Tensor:
        """Return their values for an input ``(V * B, I)``."""
        whole = change.view(len(self._kept), -1, change.shape[1])
        return self._kept * (self._delta.mT @ whole)

    def pull(self, values: Tensor) -> Tensor:
        """Return the transpose of `push`."""
        return (self._delta @ (self._kept * values)).flatten(0, 1)


def each_like(each: Tensor, x: Tensor) -> Tensor:
    """Return one number for each victim ``(V,)`` in a shape that broadcasts to ``(V, ...)``."""
    return each.view(-1, *[1] * (x.ndim - 1))


def ratio(one: Tensor, other: Tensor) -> Tensor:
    """Return the ratio of two tensors, of which the second is at least 0: finite also there."""
    return one / other.clamp(min=torch.finfo(other.dtype).tiny)
