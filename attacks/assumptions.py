"""Assumptions of an attack about a client: its loss, the range and normalisation of its data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fedsim.core.errors import AttackError
from fedsim.core.losses import LossFunction, mean_cross_entropy

Loss = LossFunction
"""The client's loss of a batch. Dummy labels come as rows of probabilities."""

Numbers = float | Sequence[float] | Tensor
"""One number, one for each channel, or a tensor that broadcasts to an example's shape."""


@dataclass(frozen=True, eq=False)
class Normalisation:
    """The normalisation that a client applies to its data before the model: ``(x - mean) / std``.

    Attributes:
        mean: a number, one for each channel, or a tensor that broadcasts to an example's shape.
        std: alike, > 0.
    """

    mean: Numbers
    std: Numbers


@dataclass(frozen=True, eq=False)
class Assumptions:
    """Assumptions about all clients of a federation, whose data lie in [0, 1].

    Attributes:
        loss: loss of a batch.
        normalisation: normalisation between the data and the model; None for none.
    """

    loss: Loss = mean_cross_entropy
    normalisation: Normalisation | None = None

    def scale(self, input_shape: tuple[int, ...]) -> Scale:
        """Return the maps between data in [0, 1] and the model's inputs.

        Raises:
            AttackError: the normalisation does not fit the examples.
        """
        return Scale.of(input_shape, (0.0, 1.0), self.normalisation)


@dataclass(frozen=True, eq=False)
class Scale:
    """Affine maps between the unit box, the data that are returned, and the model's inputs.

    Attacks search in the unit box, whatever the range of the data.

    Attributes:
        low: least values of the data, broadcasting to an example's shape.
        span: greatest values less the least.
        mean: what is subtracted before the model.
        std: what is divided by before the model.
        is_identity: whether values in the unit box are the data, and the model's inputs.
    """

    low: Tensor
    span: Tensor
    mean: Tensor
    std: Tensor
    is_identity: bool

    @classmethod
    def of(
        cls,
        input_shape: tuple[int, ...],
        value_range: tuple[Numbers, Numbers],
        normalisation: Normalisation | None,
    ) -> Scale:
        """Return the maps for examples of a shape.

        Raises:
            AttackError: the numbers do not fit the shape, or are not a range or a normalisation.
        """
        mean, std = (0.0, 1.0) if normalisation is None else (normalisation.mean, normalisation.std)
        low, high = (_as_example(x, input_shape, "value_range") for x in value_range)
        shift, size = (_as_example(x, input_shape, "normalisation") for x in (mean, std))
        if not bool(torch.isfinite(high - low).all()) or not bool((high > low).all()):
            raise AttackError("value_range: expected finite values, the second above the first")
        if not bool(torch.isfinite(shift).all()) or not bool((size > 0).all()):
            raise AttackError("normalisation: expected a finite mean and a positive std")
        nothing = [(low == 0).all(), (high == 1).all(), (shift == 0).all(), (size == 1).all()]
        return cls(low, high - low, shift, size, is_identity=all(map(bool, nothing)))

    def on(self, like: Tensor) -> Scale:
        """Return the maps for tensors of the type and on the device of ``like``."""
        low, span, mean, std = (t.to(like) for t in (self.low, self.span, self.mean, self.std))
        return Scale(low, span, mean, std, self.is_identity)

    @property
    def key(self) -> tuple[tuple[float, ...], ...]:
        """The numbers, equal for equal maps."""
        return tuple(
            tuple(t.flatten().tolist()) for t in (self.low, self.span, self.mean, self.std)
        )

    def to_data(self, unit: Tensor) -> Tensor:
        """Return data for values in the unit box."""
        return unit if self.is_identity else self.low + self.span * unit

    def from_data(self, data: Tensor) -> Tensor:
        """Return the values in the unit box for data."""
        return data if self.is_identity else (data - self.low) / self.span

    def to_input(self, unit: Tensor) -> Tensor:
        """Return the model's inputs for values in the unit box."""
        if self.is_identity:
            return unit
        return (self.to_data(unit) - self.mean) / self.std

    def from_input(self, inputs: Tensor) -> Tensor:
        """Return the values in the unit box for the model's inputs."""
        if self.is_identity:
            return inputs
        return self.from_data(inputs * self.std + self.mean)


def _as_example(numbers: Numbers, input_shape: tuple[int, ...], name: str) -> Tensor:
    """Return numbers as a tensor that broadcasts to an example's shape."""
    found = torch.as_tensor(numbers).detach().to("cpu", torch.float64)
    if found.ndim == 1 and len(input_shape) > 1 and found.shape[0] == input_shape[0]:
        found = found.view(-1, *[1] * (len(input_shape) - 1))
    sizes = zip(reversed(found.shape), reversed(input_shape), strict=False)
    if found.ndim > len(input_shape) or any(own not in (1, size) for own, size in sizes):
        raise AttackError(
            f"{name}: numbers of shape {tuple(found.shape)} for examples of shape {input_shape}: "
            "expected one number, one for each channel, or a tensor that broadcasts to it"
        )
    return found
