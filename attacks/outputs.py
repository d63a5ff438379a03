"""Outputs of models as one tensor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from fedsim.core.errors import AttackError

LOGITS = "logits"


def as_tensor(outputs: object) -> Tensor:
    """Return the output of a model as one tensor.

    - a tensor: itself
    - an object or a mapping with ``logits``, such as an output of Hugging Face's: these
    - a mapping or a sequence of tensors ``(N, ...)``: side by side ``(N, sum of sizes)``, in order

    Raises:
        AttackError: it is something else.
    """
    if isinstance(outputs, Tensor):
        return outputs
    logits = outputs.get(LOGITS) if isinstance(outputs, Mapping) else getattr(outputs, LOGITS, None)
    if isinstance(logits, Tensor):
        return logits
    parts = _parts(outputs)
    if not parts or not all(isinstance(part, Tensor) for part in parts):
        raise AttackError(
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


def _parts(outputs: object) -> list[Tensor]:
    if isinstance(outputs, Mapping):
        return list(outputs.values())
    return list(outputs) if isinstance(outputs, Sequence) else []
