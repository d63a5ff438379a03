"""Test for rows of a dense layer that have no gradient."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fedsim.core.errors import RunError


def check_silence(model: nn.Module, name: str, inputs: Tensor, whose: str) -> None:
    """Check that a row with a negative sum has no gradient.

    Args:
        model: the changed model.
        name: name of the dense layer.
        inputs: public examples ``(N, *input_shape)``.
        whose: name of the manipulation in the error, a plural.

    Raises:
        RunError: it has one.
    """
    sums: list[Tensor] = []
    layer = model.get_submodule(name)
    hook = layer.register_forward_hook(lambda module, given, output: sums.append(output))
    try:
        outputs = model(inputs)
    finally:
        hook.remove()
    [gradient] = torch.autograd.grad(outputs.square().sum(), sums)
    if bool(gradient[sums[0] < 0].any()):
        raise RunError(
            f"adversary.malicious: {whose} need a ReLU behind '{name}', whose gradient is "
            "zero for a negative sum; choose such a model, as { name = 'mlp', activation = 'relu' }"
        )
