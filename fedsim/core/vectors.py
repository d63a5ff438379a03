"""Named tensors as one vector, which is what cryptography works on."""

from collections.abc import Collection, Mapping

import torch
from torch import Tensor


def flat(tensors: Mapping[str, Tensor]) -> Tensor:
    """Return all values in one vector of doubles, tensors in the order of their names."""
    return torch.cat([tensors[name].detach().double().flatten() for name in sorted(tensors)])


def unflat(vector: Tensor, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Tensor]:
    """Return the tensors, of doubles, that `flat` made a vector of.

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
    """Return the tensors less those received, in doubles, but ``own`` ones as they are.

    Weights, running statistics and counters can be of any size, while their changes are small:
    so they fit into the range of a quantised sum. Gradients are changes already.
    """
    return {
        name: x.double() if name in own else x.double() - received[name].double()
        for name, x in tensors.items()
    }


def restored(
    changes: Mapping[str, Tensor], received: Mapping[str, Tensor], own: Collection[str]
) -> dict[str, Tensor]:
    """Return what `differences` were taken of, in the types of those received."""
    found = {}
    for name, change in changes.items():
        value = change if name in own else change + received[name].double()
        dtype = received[name].dtype
        found[name] = value.to(dtype) if dtype.is_floating_point else value.round().to(dtype)
    return found
