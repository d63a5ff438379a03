"""Layers in front of a dense layer, as a map of pictures that can be undone."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from fedsim.attacks.closed.dense import first_dense
from fedsim.core.errors import AttackError
from fedsim.core.modules import batch_norms, drops, probing

MOST_NUMBERS = 4096
"""Numbers of a picture up to which the map is measured, one forward pass for each."""

AT_ONCE = 256
"""Pictures of a forward pass."""

LINEAR = 1e-9
"""Relative difference from a linear map in double precision, below which it is rounding error."""

SMALLEST = 1e-6
"""Singular value, in units of the largest, below which single precision does not pass it on."""


@dataclass(frozen=True, eq=False)
class Front:
    """A dense layer, and the map from the picture to its input.

    Attributes:
        layer: name of the dense layer.
        shape: shape of a picture ``(C, H, W)``.
        matrix: change of the layer's input per unit of each number of the picture ``(numbers,
            inputs)``; None if the picture itself enters.
        middle: the picture ``(numbers,)`` about which the map is taken.
        offset: input of the layer for that picture ``(inputs,)``.
        inverse: pseudo-inverse of the matrix ``(inputs, numbers)``.
        passed: share of a picture's independent numbers that reach the layer.
    """

    layer: str
    shape: tuple[int, ...]
    matrix: Tensor | None = None
    middle: Tensor | None = None
    offset: Tensor | None = None
    inverse: Tensor | None = None
    passed: float = 1.0

    def pictures(self, entered: Tensor) -> Tensor:
        """Return the pictures ``(N, *shape)`` for inputs of the layer ``(N, inputs)``.

        What does not reach the layer is as in the middle picture.
        """
        if self.inverse is None or self.offset is None or self.middle is None:
            return entered.view(-1, *self.shape)
        flat = self.middle + (entered.to(self.offset) - self.offset) @ self.inverse
        return flat.view(-1, *self.shape)

    def rows(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return weights and biases of the layer that measure pictures as given rows do.

        Args:
            rows: weights of the numbers of a picture ``(rows, numbers)``.
        """
        if self.inverse is None or self.offset is None or self.middle is None:
            return rows, rows.new_zeros(len(rows))
        return rows @ self.inverse.T, rows @ (self.middle - self.offset @ self.inverse)


def front_of(model: nn.Module, low: Tensor, high: Tensor) -> Front:
    """Return the first dense layer, and the map from a picture to its input.

    Args:
        model: the model.
        low: the lowest value of each number of a picture, as the model takes it ``(C, H, W)``.
        high: the highest value, of the same shape.

    Raises:
        AttackError: the map is not linear, or no dense layer takes the picture.
    """
    shape = tuple(low.shape)
    try:
        return Front(first_dense(model, shape), shape)
    except AttackError as error:
        plain = error
    layer = entered_layer(model, low)
    if layer is None:
        raise plain
    if low.numel() > MOST_NUMBERS:
        raise AttackError(
            f"pictures of {low.numel()} numbers are too large to measure the layers in front of "
            f"'{layer}': expected at most {MOST_NUMBERS}"
        )
    return _measured(copy.deepcopy(model).double(), layer, low.double(), high.double())


def entered_layer(model: nn.Module, picture: Tensor) -> str | None:
    """Return the name of the first dense layer if it takes one row of numbers and has a bias."""
    names: dict[nn.Module, str] = {module: name for name, module in model.named_modules()}
    seen: list[tuple[nn.Linear, Tensor]] = []

    def look(module: nn.Module, given: tuple[Any, ...], _output: object) -> None:
        if isinstance(module, nn.Linear):
            seen.append((module, given[0]))

    with probing(model, look):
        model(picture.to(next(model.parameters()))[None])
    if not seen or seen[0][1].ndim != 2 or seen[0][0].bias is None:
        return None
    return names[seen[0][0]]


def entering(model: nn.Module, layer: str, pictures: Tensor) -> Tensor:
    """Return the inputs of a layer ``(N, inputs)`` for pictures ``(N, C, H, W)``."""
    chosen, seen = model.get_submodule(layer), list[Tensor]()

    def look(module: nn.Module, given: tuple[Any, ...], _output: object) -> None:
        if module is chosen:
            seen.append(given[0].flatten(1))

    with probing(model, look):
        for part in torch.split(pictures, AT_ONCE):
            model(part)
    return torch.cat(seen)


def _measured(model: nn.Module, layer: str, low: Tensor, high: Tensor) -> Front:
    """Return the map of a model in double precision, measured on one picture for each number."""
    _check_linear(model, layer, low, high)
    numbers, span = low.numel(), (high - low).flatten()
    units = torch.diag(span).view(numbers, *low.shape)
    dark = entering(model, layer, low[None])
    matrix = (entering(model, layer, low + units) - dark) / span[:, None]
    products = matrix @ matrix.T
    values, vectors = torch.linalg.eigh(products)
    kept = values > SMALLEST**2 * values[-1]
    reached = vectors[:, kept]
    middle = (low + high) / 2
    return Front(
        layer,
        tuple(low.shape),
        matrix,
        middle.flatten(),
        entering(model, layer, middle[None])[0],
        matrix.T @ (reached / values[kept]) @ reached.T,
        float(kept.double().mean()),
    )


def _check_linear(model: nn.Module, layer: str, low: Tensor, high: Tensor) -> None:
    """Check on three pictures, before all numbers are tried, that the map is linear.

    Raises:
        AttackError: it is not.
    """
    draws = torch.rand((2, *low.shape), generator=torch.Generator().manual_seed(0)).to(low)
    draws[1] *= torch.linspace(0, 1, low.shape[-1]).to(low)  # dark and bright parts
    first, second = low + (high - low) * draws
    outputs = entering(model, layer, torch.stack([first, second, (first + second) / 2]))
    off = float((outputs[2] - (outputs[0] + outputs[1]) / 2).abs().max())
    size = float((outputs[0] - outputs[1]).abs().max())
    if off > LINEAR * size or size == 0:
        raise AttackError(
            f"the layers in front of '{layer}' do not pass the picture on unchanged or as a "
            "linear map; use an attack that matches gradients"
        )
    if batch_norms(model) or drops(model):
        raise AttackError(
            f"the layers in front of '{layer}' are not undone in models with BatchNorm or dropout"
        )
