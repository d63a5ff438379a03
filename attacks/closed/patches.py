"""The patch projection and the position embedding of a vision transformer, found by tracing."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812  (the name that everybody knows)
from torch import Tensor, nn

from fedsim.core.errors import AttackError
from fedsim.core.modules import probing

_EQUAL = 1e-3
"""Relative difference up to which two gradients of one pass are the same."""
_AFFINE = 1e-4
_ITERATIONS = 200
_PRECISION = 1e-12


@dataclass(frozen=True, eq=False)
class Patches:
    """A patch projection, and where the derivative of the loss by its outputs can be read.

    Attributes:
        projection: name of the layer.
        position: name of the position embedding.
        offset: the row of the position embedding that belongs to the first patch.
        count: number T of patches.
        width: numbers in each token.
        of: function of a model's input ``(*input_shape)`` that returns the patches ``(T, D)``
            which enter the projection; affine.
    """

    projection: str
    position: str
    offset: int
    count: int
    width: int
    of: Callable[[Tensor], Tensor]

    def derivative(self, gradient: Mapping[str, Tensor]) -> Tensor:
        """Return the derivative of the loss by the embedded patches, ``(T, width)``."""
        rows = gradient[self.position].reshape(-1, self.width)
        return rows[self.offset : self.offset + self.count]

    def weight_gradient(self, gradient: Mapping[str, Tensor]) -> Tensor:
        """Return the gradient of the projection's weights, ``(width, D)``."""
        return gradient[f"{self.projection}.weight"].flatten(1)


def find_patches(model: nn.Module, input_shape: tuple[int, ...]) -> Patches:
    """Return the patch projection and position embedding of a model.

    The projection is the first dense layer or convolution. The position embedding is the parameter
    that has, for a random input and a random function of the outputs, the derivative by the
    projection's outputs as consecutive rows of its gradient.

    Args:
        model: the attacked model; not modified.
        input_shape: shape of one example.

    Raises:
        AttackError: the model has no such layers, or they are frozen.
    """
    like = next(model.parameters())
    generator = torch.Generator().manual_seed(0)
    probe = torch.rand((1, *input_shape), generator=generator).to(like)
    layer, name, found = _first_layer(model, probe)
    tokens = _tokens(layer, found)
    count, width = tokens.shape
    rows = {
        key: p
        for key, p in model.named_parameters()
        if p.requires_grad and p.numel() % width == 0 and p.numel() >= count * width
        if p.shape[-1] == width
    }
    if count < 2 or not layer.weight.requires_grad or not rows:
        raise AttackError(_NOT_FOUND)
    by_tokens, by_rows = _derivatives(model, layer, probe, rows)
    if not bool(by_tokens.any()):
        raise AttackError(
            f"the outputs do not depend on '{name}', as they do not while the last layer's weights "
            "are zero: nothing to divide by"
        )
    for key, gradient in by_rows.items():
        offset = _offset(by_tokens, gradient.reshape(-1, width))
        if offset is not None:
            of = _entering(model, layer)
            _check_affine(of, probe[0])
            return Patches(name, key, offset, count, width, of)
    raise AttackError(_NOT_FOUND)


_NOT_FOUND = (
    "the model has no patch projection with a learnable position embedding behind it, which the "
    "closed form needs; use 'rgap', or an attack that matches gradients"
)

Layer = nn.Linear | nn.Conv2d


class _Reached(Exception):  # noqa: N818  (no error)
    """The end of a forward pass that has reached the layer."""


def _first_layer(model: nn.Module, probe: Tensor) -> tuple[Layer, str, Tensor]:
    """Return the first dense layer or convolution, its name and its output."""
    seen: list[tuple[Layer, Tensor]] = []

    def look(module: nn.Module, _inputs: tuple[Any, ...], output: Any) -> None:
        if isinstance(module, nn.Linear | nn.Conv2d):
            seen.append((module, output))
            raise _Reached

    try:
        with probing(model, look):
            model(probe)
    except _Reached:
        pass
    if not seen:
        raise AttackError(_NOT_FOUND)
    layer, output = seen[0]
    if isinstance(layer, nn.Conv2d) and not _unfolds(layer):
        raise AttackError(_NOT_FOUND)
    names: dict[nn.Module, str] = {module: key for key, module in model.named_modules()}
    return layer, names[layer], output


def _unfolds(layer: nn.Conv2d) -> bool:
    """Return whether a convolution is one dense layer on windows of its input."""
    return (
        layer.groups == 1 and layer.padding_mode == "zeros" and not isinstance(layer.padding, str)
    )


def _tokens(layer: Layer, output: Tensor) -> Tensor:
    """Return a layer's output for one example as tokens ``(T, width)``."""
    if isinstance(layer, nn.Conv2d):
        return output[0].flatten(1).mT
    return output.reshape(-1, output.shape[-1])


def _derivatives(
    model: nn.Module, layer: Layer, probe: Tensor, rows: Mapping[str, Tensor]
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the derivatives of a random function by the layer's output, and by parameters."""
    seen: list[Tensor] = []

    def look(module: nn.Module, _inputs: tuple[Any, ...], output: Any) -> None:
        if module is layer:
            seen.append(output)

    with probing(model, look), torch.enable_grad():
        outputs = model(probe)
        weights = torch.randn(outputs.shape, generator=torch.Generator().manual_seed(1))
        value = (outputs * weights.to(outputs)).sum()
        found = torch.autograd.grad(value, [seen[0], *rows.values()], allow_unused=True)
    by_output, *by_rows = found
    if by_output is None:
        raise AttackError(_NOT_FOUND)
    used = {key: g for key, g in zip(rows, by_rows, strict=True) if g is not None}
    return _tokens(layer, by_output), used


def _offset(block: Tensor, rows: Tensor) -> int | None:
    """Return the row at which the block begins among the rows, or None."""
    size = float(block.norm())
    for offset in range(len(rows) - len(block) + 1):
        if float((rows[offset : offset + len(block)] - block).norm()) <= _EQUAL * size:
            return offset
    return None


def _entering(model: nn.Module, layer: Layer) -> Callable[[Tensor], Tensor]:
    """Return the function from one input to the patches that enter the layer, ``(T, D)``."""

    def of(data: Tensor) -> Tensor:
        seen: list[Tensor] = []

        def stop(_module: nn.Module, inputs: tuple[Any, ...]) -> None:
            seen.append(inputs[0])
            raise _Reached

        handle = layer.register_forward_pre_hook(stop)
        try:
            with probing(model, lambda *_: None), torch.enable_grad():
                model(data[None])
        except _Reached:
            pass
        finally:
            handle.remove()
        entered = seen[0]
        if isinstance(layer, nn.Conv2d):
            assert not isinstance(layer.padding, str)  # noqa: S101  (`_unfolds`)
            return F.unfold(
                entered, layer.kernel_size, layer.dilation, layer.padding, layer.stride
            )[0].mT
        return entered.reshape(-1, entered.shape[-1])

    return of


def _check_affine(of: Callable[[Tensor], Tensor], probe: Tensor) -> None:
    with torch.no_grad():
        zero, one = of(torch.zeros_like(probe)), of(probe)
        half = of(0.5 * probe)
    if float((half - (zero + one) / 2).norm()) > _AFFINE * float((one - zero).norm()):
        raise AttackError(
            "what is in front of the patch projection is not an affine map of the picture, which "
            "the closed form needs; use an attack that matches gradients"
        )


def picture_of(patches: Patches, rows: Tensor, start: Tensor) -> Tensor:
    """Return the input with these patches, nearest to ``start`` where they do not determine it.

    Least squares by conjugate gradients on the normal equations.

    Args:
        patches: the patch projection.
        rows: the patches ``(T, D)``.
        start: an input ``(*input_shape)``.
    """
    start = start.detach().clone().requires_grad_()
    offset = patches.of(start)
    zero = patches.of(torch.zeros_like(start)).detach()

    def transpose(y: Tensor) -> Tensor:
        return torch.autograd.grad(offset, start, y, retain_graph=True)[0]

    def normal(x: Tensor) -> Tensor:
        return transpose(patches.of(x).detach() - zero)

    residual = transpose(rows.to(offset) - offset.detach())
    x, direction = torch.zeros_like(residual), residual
    size = first = float(residual.square().sum())
    for _ in range(_ITERATIONS):
        if size <= _PRECISION * first or not math.isfinite(size):
            break
        image = normal(direction)
        step = size / float((direction * image).sum())
        x, residual = x + step * direction, residual - step * image
        size, before = float(residual.square().sum()), size
        direction = residual + size / before * direction
    return start.detach() + x
