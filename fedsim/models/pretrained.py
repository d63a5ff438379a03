"""Pretrained weights of picture models, from a file. Nothing is unpickled, executed or fetched."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import torch
from pydantic import AfterValidator, Field
from torch import Tensor, nn

from fedsim.core.errors import DataError
from fedsim.core.modules import last_linear


def _absolute(path: str) -> str:
    return str(Path(path).expanduser().absolute())


WeightsFile = Annotated[
    str | None,
    Field(description="file of a state dict: .safetensors, or .pt or .pth without other objects"),
    AfterValidator(lambda path: path and _absolute(path)),
]
"""Path of weights; made absolute at once, because workers may run in another folder."""


def read_state(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a state dict.

    Args:
        path: a ``.safetensors`` file, or one written by ``torch.save(model.state_dict(), ...)``.

    Raises:
        DataError: the file cannot be read, or holds anything but tensors.
    """
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file  # noqa: PLC0415  (for such files alone)

            return load_file(path)
        found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # files are damaged in many ways
        reason = str(error).split("\n")[0]
        raise DataError(
            f"{path}: the weights cannot be read ({reason:.200}); expected a state dict: "
            "torch.save(model.state_dict(), path), or .safetensors"
        ) from None
    tensors = isinstance(found, Mapping) and all(isinstance(t, Tensor) for t in found.values())
    if not tensors:
        raise DataError(f"{path}: expected a state dict, a mapping of names to tensors")
    return dict(found)


def load_weights(network: nn.Module, state: Mapping[str, Tensor], source: Path) -> None:
    """Copy weights into a network, except for a last layer of another shape.

    The last layer keeps its values if the file's has another number of classes.

    Args:
        network: the network to fill.
        state: tensors by name.
        source: the file, for messages.

    Raises:
        DataError: a tensor of another layer is missing, or has another shape.
    """
    last = last_linear(network)
    head = "" if last is None else f"{last[0]}."
    own = network.state_dict()
    with torch.no_grad():
        for name, tensor in own.items():
            given = state.get(name)
            if given is not None and given.shape == tensor.shape:
                tensor.copy_(given)
            elif not (head and name.startswith(head)) and "num_batches_tracked" not in name:
                shape = "is missing" if given is None else f"has shape {tuple(given.shape)}"
                raise DataError(
                    f"{source}: the tensor {name!r} {shape}; expected {tuple(tensor.shape)}: these "
                    "are the weights of another network"
                )
