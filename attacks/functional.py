"""A module as a pure function of its parameters, ready for ``torch.func``."""

import copy
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.func import functional_call, replace_all_batch_norm_modules_
from torch.nn.modules.batchnorm import _BatchNorm

Forward = Callable[[Mapping[str, Tensor], Tensor], Tensor]


def parameters(model: nn.Module) -> dict[str, Tensor]:
    """Return the model's trainable parameters by name, detached."""
    return {k: p.detach() for k, p in model.named_parameters() if p.requires_grad}


def as_function(model: nn.Module) -> Forward:
    """Return ``f(parameters, inputs)`` for the model in the mode that it is in.

    The model itself is left alone. BatchNorm layers in training mode normalise by their
    batch, as the client's did, but keep no running statistics: updating those in place is a
    side effect that a mapped function cannot have, and their values do not enter the gradient.
    """
    own = copy.deepcopy(model)
    for module in own.modules():
        if isinstance(module, _BatchNorm) and module.training:
            replace_all_batch_norm_modules_(module)
    frozen = {k: b.detach() for k, b in own.named_buffers()}

    def forward(params: Mapping[str, Tensor], inputs: Tensor) -> Tensor:
        outputs: Tensor = functional_call(own, (dict(params), frozen), (inputs,))
        return outputs

    return forward


def count_classes(model: nn.Module, input_shape: tuple[int, ...]) -> int:
    """Return the size of the model's output for one example, on a copy of the model."""
    parameter = next(model.parameters())
    probe = torch.zeros((2, *input_shape), device=parameter.device, dtype=parameter.dtype)
    with torch.no_grad():
        return int(as_function(model)(parameters(model), probe).shape[-1])
