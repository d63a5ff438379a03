"""Conversion between named tensors and one vector, the form that cryptography needs."""

from collections.abc import Collection, Mapping
from decimal import Decimal

import torch
from torch import Tensor


def flat(tensors: Mapping[str, Tensor]) -> Tensor:
    """Return all values in one vector of doubles, tensors in the order of their names."""
    return torch.cat([tensors[name].detach().double().flatten() for name in sorted(tensors)])


def unflat(vector: Tensor, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Tensor]:
    """Split a vector made by `flat` into tensors of doubles.

    Raises:
        ValueError: the vector has another length.
    """
    sizes = {name: torch.Size(shapes[name]).numel() for name in sorted(shapes)}
    if vector.shape != (sum(sizes.values()),):
        raise ValueError(
            f"a vector of shape {tuple(vector.shape)}: expected ({sum(sizes.values())},)"
        )
    parts = torch.split(vector, list(sizes.values()))
    return {name: part.reshape(shapes[name]) for name, part in zip(sizes, parts, strict=True)}


def differences(
    tensors: Mapping[str, Tensor], received: Mapping[str, Tensor], own: Collection[str]
) -> dict[str, Tensor]:
    """Return the differences from the received tensors, in doubles; ``own`` tensors unchanged.

    Weights, running statistics and counters can be of any size, but their changes are small and fit
    into the range of a quantised sum. Gradients are already changes.
    """
    return {
        name: x.double() if name in own else x.double() - received[name].double()
        for name, x in tensors.items()
    }


def restored(
    changes: Mapping[str, Tensor], received: Mapping[str, Tensor], own: Collection[str]
) -> dict[str, Tensor]:
    """Invert `differences`; the result has the dtypes of the received tensors."""
    found = {}
    for name, change in changes.items():
        value = change if name in own else change + received[name].double()
        dtype = received[name].dtype
        found[name] = value.to(dtype) if dtype.is_floating_point else value.round().to(dtype)
    return found


def share_of(fraction: float, count: int) -> int:
    """Return floor(fraction * count), with the fraction as a decimal number."""
    # As a decimal, since 0.29 * 100 in binary is below 29.
    return int(Decimal(repr(float(fraction))) * count)
