"""A module as a pure function of its parameters, ready for ``torch.func``."""

from collections.abc import Callable, Mapping
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.func import functional_call, replace_all_batch_norm_modules_

from fedsim.core.errors import AttackError
from fedsim.core.modules import DropoutOff, batch_norms, copied, using_draws, without_dropout
from fedsim.core.randomness import global_randomness

Forward = Callable[[Mapping[str, Tensor], Tensor], Tensor]


class ForwardWithStatistics(Protocol):
    """Model as a function of parameters, inputs and draws; see `with_statistics`."""

    def __call__(
        self, params: Mapping[str, Tensor], inputs: Tensor, draws: Tensor | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the outputs, and the batch's statistics by name."""


def parameters(model: nn.Module) -> dict[str, Tensor]:
    """Return the model's trainable parameters by name, detached."""
    return {k: p.detach() for k, p in model.named_parameters() if p.requires_grad}


def as_function(model: nn.Module) -> Forward:
    """Return ``f(parameters, inputs)`` for the model in its current mode.

    The model itself is not modified. BatchNorm layers in training mode normalise by their batch,
    like the client's, but do not update running statistics: an update in place is a side effect
    that a mapped function cannot have, and their values do not enter the gradient. Dropout does
    not draw: what a client drew is unknown, so that the function is an approximation of a client's
    with dropout in training mode, which its private data do not explain.
    """
    own = _own_copy(model)
    return lambda params, inputs: _call(own, params, inputs)


def with_statistics(model: nn.Module) -> ForwardWithStatistics:
    """Return a function like `as_function` that also returns the batch's statistics.

    These are the mean and the variance (biased, as in BatchNorm's normalisation) of the inputs of
    each BatchNorm layer, over all axes except the channels, by the names of the buffers that
    average them: ``<layer>.running_mean`` and ``<layer>.running_var``. Its third argument are the
    draws of stochastic layers ``(N, draw_size)``; None for those of the model.
    """
    own = _own_copy(model)
    seen: dict[str, Tensor] = {}

    def watch(name: str, module: nn.Module) -> None:
        def note(_module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            [x] = inputs
            others = [axis for axis in range(x.ndim) if axis != 1]
            seen[f"{name}.running_mean"] = x.mean(others)
            seen[f"{name}.running_var"] = x.var(others, correction=0)

        module.register_forward_pre_hook(note)

    for name, module in batch_norms(own).items():
        watch(name, module)

    def forward(
        params: Mapping[str, Tensor], inputs: Tensor, draws: Tensor | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        seen.clear()
        with using_draws(own, draws):
            outputs = _call(own, params, inputs)
        statistics = dict(seen)
        seen.clear()  # otherwise a traced tensor would outlive its trace
        return outputs, statistics

    return forward


def _own_copy(model: nn.Module) -> nn.Module:
    own = copied(model).requires_grad_(False)  # no graph except for the given parameters
    for module in batch_norms(own).values():
        if module.training:
            replace_all_batch_norm_modules_(module)
    return without_dropout(own)


def _call(own: nn.Module, params: Mapping[str, Tensor], inputs: Tensor) -> Tensor:
    frozen = {k: b.detach() for k, b in own.named_buffers()}
    with DropoutOff():
        outputs: Tensor = functional_call(own, (dict(params), frozen), (inputs,))
    return outputs


def count_classes(model: nn.Module, input_shape: tuple[int, ...]) -> int:
    """Return the size of the model's output for one example, computed on a copy of the model.

    If the model has an attribute ``num_outputs``, this is returned instead.

    Raises:
        AttackError: the model cannot be evaluated on such examples, or does not return a tensor.
    """
    outputs = getattr(model, "num_outputs", None)
    if isinstance(outputs, int):
        return outputs
    parameter = next(model.parameters())
    probe = torch.zeros((2, *input_shape), device=parameter.device, dtype=parameter.dtype)
    try:
        # Whatever the model draws, it does not draw from the caller's generator.
        with torch.no_grad(), global_randomness():
            found: object = as_function(copied(model).eval())(parameters(model), probe)
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        raise AttackError(
            f"the model cannot be evaluated on examples of shape {input_shape} "
            f"({type(error).__name__}: {error}): expected their shape without the batch"
        ) from error
    if not isinstance(found, Tensor):
        raise AttackError(
            f"the model returns a {type(found).__name__}: expected a tensor of logits; wrap it in "
            "a module whose forward returns them, such as output.logits or output['logits']"
        )
    return int(found.shape[-1]) if found.ndim > 1 else 1
