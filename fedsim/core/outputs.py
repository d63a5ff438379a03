"""Outputs of models as one tensor."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from fedsim.core.errors import DataError

LOGITS = "logits"


def as_tensor(outputs: object) -> Tensor:
    """Return the output of a model as one tensor.

    - a tensor: itself
    - an object or a mapping with ``logits``, such as an output of Hugging Face's: these
    - a mapping or a sequence of tensors ``(N, ...)``: side by side ``(N, sum of sizes)``, in order

    Raises:
        DataError: it is something else.
    """
    if isinstance(outputs, Tensor):
        return outputs
    logits = outputs.get(LOGITS) if isinstance(outputs, Mapping) else getattr(outputs, LOGITS, None)
    if isinstance(logits, Tensor):
        return logits
    parts = _parts(outputs)
    if not parts or not all(isinstance(part, Tensor) for part in parts):
        raise DataError(
            f"the model returns a {type(outputs).__name__}: expected a tensor, an output with "
            "'logits', or a mapping or sequence of tensors"
        )
    if len(parts) == 1:
        return parts[0]
    return torch.cat([part.flatten(1) for part in parts], dim=1)


def returning_tensor(model: nn.Module) -> nn.Module:
    """Make a model return one tensor (see `as_tensor`), and return it.

    The names of its parameters stay as they are.
    """
    model.register_forward_hook(lambda module, inputs, outputs: as_tensor(outputs))
    return model


@dataclass(frozen=True)
class Parts:
    """The parts of an output that `as_tensor` puts side by side.

    Attributes:
        keys: their keys in a mapping; None for a sequence.
        shapes: shape of each, without the batch.
    """

    keys: tuple[Any, ...] | None
    shapes: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, outputs: object) -> Parts | None:
        """Return the parts of an output; None if it is, or has, one tensor."""
        if isinstance(outputs, Tensor) or hasattr(outputs, LOGITS):
            return None
        keys = tuple(outputs) if isinstance(outputs, Mapping) else None
        parts = _parts(outputs)
        if len(parts) < 2 or (keys is not None and LOGITS in keys):
            return None
        return cls(keys, tuple(tuple(part.shape[1:]) for part in parts))

    def split(self, outputs: Tensor) -> Any:
        """Return the parts of one tensor ``(N, sum of sizes)``, as the model had them."""
        sizes = [math.prod(shape) for shape in self.shapes]
        pieces: tuple[Tensor, ...] = torch.split(outputs, sizes, dim=-1)
        parts = [p.reshape(len(p), *s) for p, s in zip(pieces, self.shapes, strict=True)]
        return tuple(parts) if self.keys is None else dict(zip(self.keys, parts, strict=True))


def _parts(outputs: object) -> list[Tensor]:
    if isinstance(outputs, Mapping):
        return list(outputs.values())
    return list(outputs) if isinstance(outputs, Sequence) else []
