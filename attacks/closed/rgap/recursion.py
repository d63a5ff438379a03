"""Recursion of R-GAP: the input of a feed-forward network, computed layer by layer.

R-GAP (Zhu and Blaschko, ICLR 2021, arXiv 2010.07733), section 3: going backwards, the output of a
layer and the loss's derivative by it are known, so both the layer's output and its weights'
gradient give linear equations for its input.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from fedsim.attacks.closed.rgap.convolution import Convolution, invert_conv
from fedsim.core.errors import AttackError

EDGE = 1e-7
"""Distance from the ends of its range within which an activation's output is not inverted."""


@dataclass(frozen=True, eq=False)
class Known:
    """The known quantities between two layers, for ``V`` victims with one example each.

    Attributes:
        features: the activations, ``(V, *shape)``.
        delta: the loss's derivatives by them, ``(V, *shape)``.
        certain: 1 where ``features`` is valid, else 0, ``(V, *shape)``.
    """

    features: Tensor
    delta: Tensor
    certain: Tensor


@dataclass(frozen=True)
class Layer:
    """A layer, its name, and the shapes of one example before and after it."""

    name: str
    module: nn.Module
    entering: tuple[int, ...]
    leaving: tuple[int, ...]


@dataclass(frozen=True)
class Inverse:
    """Inverse of an activation: from its output to its input and to its derivative there."""

    undo: Callable[[Tensor], Tensor]
    slope: Callable[[Tensor], Tensor]
    certain: Callable[[Tensor], Tensor] = torch.ones_like


def layers_of(model: nn.Module, input_shape: tuple[int, ...]) -> list[Layer]:
    """Return the layers of a feed-forward network in order.

    Raises:
        AttackError: the model is not a sequence of layers that can be inverted.
    """
    parameter = next(model.parameters())
    x = torch.zeros((1, *input_shape), dtype=parameter.dtype, device=parameter.device)
    layers = []
    for name, module in _flattened(model):
        problem = _problem(module)
        if problem is not None:
            raise AttackError(f"layer {name!r} {problem}; use an attack that matches gradients")
        entering = tuple(x.shape[1:])
        with torch.no_grad():
            x = module(x)
        layers.append(Layer(name, module, entering, tuple(x.shape[1:])))
    last = layers[-1].module if layers else None
    if not isinstance(last, nn.Linear) or last.bias is None:
        raise AttackError(
            "the network does not end in a dense layer with bias, whose gradient gives the "
            "probabilities; use an attack that matches gradients"
        )
    return layers


def invert(layers: list[Layer], gradient: Mapping[str, Tensor]) -> Tensor:
    """Return the inputs of the network, ``(V, *input_shape)`` in float64.

    Args:
        layers: the layers of the network, from `layers_of`.
        gradient: gradient of the mean cross-entropy over one example, by parameter name, each with
            the victims as its first axis ``(V, ...)``.
    """
    head = layers[-1]
    # The derivative of cross-entropy by the logits is the bias's gradient.
    delta = gradient[f"{head.name}.bias"].double()
    known = Known(torch.zeros_like(delta), delta, torch.zeros_like(delta))
    for layer in reversed(layers):
        known = _backwards(layer, known, gradient)
    return known.features


def _backwards(layer: Layer, known: Known, gradient: Mapping[str, Tensor]) -> Known:
    module = layer.module
    if isinstance(module, nn.Linear):
        return _through_dense(layer, known, gradient)
    if isinstance(module, nn.Conv2d):
        return _through_conv(layer, known, gradient)
    return before(layer, known)


def before(layer: Layer, known: Known) -> Known:
    """Return the known quantities before a layer without weights."""
    module = layer.module
    if type(module) in ACTIVATIONS:
        inverse = ACTIVATIONS[type(module)](module)
        inside = inverse.undo(known.features)
        slope = inverse.slope(known.features)
        certain = known.certain * inverse.certain(known.features)
        return Known(inside, known.delta * slope, certain)
    shape = (-1, *layer.entering)
    return Known(*(t.reshape(shape) for t in (known.features, known.delta, known.certain)))


def _through_dense(layer: Layer, known: Known, gradient: Mapping[str, Tensor]) -> Known:
    """Divide the weights' gradient, an outer product, by its known factor."""
    assert isinstance(layer.module, nn.Linear)  # noqa: S101  (dispatched on it)
    weight = layer.module.weight.detach().double()
    # The bias's gradient equals the derivative by the layer's output.
    delta = gradient.get(f"{layer.name}.bias", known.delta).double()
    outer = gradient[f"{layer.name}.weight"].double()
    size = (delta**2).sum(1, keepdim=True).clamp(min=torch.finfo(torch.float64).tiny)
    features = torch.einsum("voi,vo->vi", outer, delta) / size
    return Known(features, delta @ weight, torch.ones_like(features))


def _through_conv(layer: Layer, known: Known, gradient: Mapping[str, Tensor]) -> Known:
    conv = layer.module
    assert isinstance(conv, nn.Conv2d)  # noqa: S101  (dispatched on it)
    features = invert_conv(
        conv,
        known.features,
        known.certain,
        known.delta,
        gradient[f"{layer.name}.weight"].double(),
        layer.entering,
    )
    delta = Convolution(conv, layer.entering).pull(known.delta).view_as(features)
    return Known(features, delta, torch.ones_like(features))


def _flattened(model: nn.Module, prefix: str = "") -> list[tuple[str, nn.Module]]:
    if not isinstance(model, nn.Sequential):
        return [(prefix.rstrip("."), model)]
    return [
        leaf
        for name, child in model._modules.items()  # `named_children` names a module only once
        if child is not None
        for leaf in _flattened(child, f"{prefix}{name}.")
    ]


def _problem(module: nn.Module) -> str | None:
    if isinstance(module, nn.Conv2d):
        plain = module.groups == 1 and module.dilation == (1, 1) and module.padding_mode == "zeros"
        if not plain or isinstance(module.padding, str):
            return "is a convolution with groups, dilation or padding that is not supported"
        return None
    if isinstance(module, nn.Dropout) and not module.training:
        return None
    if isinstance(module, (nn.Linear, nn.Flatten, nn.Identity)) or type(module) in ACTIVATIONS:
        return None
    return f"({type(module).__name__}) cannot be inverted"


def _sigmoid(_: nn.Module) -> Inverse:
    return Inverse(lambda h: torch.logit(h, eps=EDGE), lambda h: (h * (1 - h)).clamp(min=0))


def _tanh(_: nn.Module) -> Inverse:
    edge = 1 - EDGE
    return Inverse(lambda h: torch.atanh(h.clamp(-edge, edge)), lambda h: (1 - h**2).clamp(min=0))


def _softplus(module: nn.Module) -> Inverse:
    beta = float(module.beta)  # type: ignore[arg-type]
    return Inverse(
        lambda h: torch.log(torch.expm1((beta * h).clamp(min=EDGE, max=700))) / beta,
        lambda h: -torch.expm1(-(beta * h).clamp(min=0)),
    )


def _elu(module: nn.Module) -> Inverse:
    alpha = float(module.alpha)  # type: ignore[arg-type]
    return Inverse(
        lambda h: torch.where(h > 0, h, torch.log1p((h.clamp(max=0) / alpha).clamp(min=EDGE - 1))),
        lambda h: torch.where(h > 0, 1.0, (h + alpha).clamp(min=0)),
    )


def _leaky_relu(module: nn.Module) -> Inverse:
    slope = float(module.negative_slope)  # type: ignore[arg-type]
    return Inverse(
        lambda h: torch.where(h > 0, h, h / slope),
        lambda h: torch.full_like(h, slope).masked_fill(h > 0, 1.0),
    )


def _relu(_: nn.Module) -> Inverse:
    """ReLU backwards: an output of zero gives nothing away of the input."""

    def active(h: Tensor) -> Tensor:
        # Features have rounding errors: a value below a thousandth of the largest may be a zero.
        edge = 1e-3 * h.flatten(1).amax(1).clamp(min=0)
        return (h > edge.view(-1, *[1] * (h.ndim - 1))).to(h)

    return Inverse(lambda h: h, active, active)


ACTIVATIONS: dict[type[nn.Module], Callable[[nn.Module], Inverse]] = {
    nn.ELU: _elu,
    nn.LeakyReLU: _leaky_relu,
    nn.ReLU: _relu,
    nn.Sigmoid: _sigmoid,
    nn.Softplus: _softplus,
    nn.Tanh: _tanh,
}
