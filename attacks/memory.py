"""How many lanes fit the memory."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

GB = 1e9

# Tensors alive at once in one evaluation, as multiples of what one lane's forward pass and
# gradient hold, by peak memory against 16 and 48 lanes of colour 32x32: the paper's network took
# 0.76 to 0.87 MB a lane where this counts 0.97, the ConvNet 5.9 to 6.5 where it counts 7.2.
ACTIVATION_COPIES = 8
GRADIENT_COPIES = 6


def lanes_that_fit(
    model: nn.Module,
    parameters: Mapping[str, Tensor],
    batch_shape: tuple[int, ...],
    unknowns: int,
    history: int,
    memory_gb: float,
) -> int:
    """Return how many lanes may run at once, at least 1.

    Args:
        model: the attacked model.
        parameters: its parameters.
        batch_shape: shape of one lane's dummy batch.
        unknowns: numbers optimised per lane.
        history: evaluations that the optimiser remembers.
        memory_gb: the memory that they may take together.
    """
    floats = (
        2 * (history + 4) * unknowns
        + ACTIVATION_COPIES * _activations(model, batch_shape)
        + GRADIENT_COPIES * sum(p.numel() for p in parameters.values())
    )
    element = next(iter(parameters.values())).element_size()
    return max(1, int(memory_gb * GB / (floats * element)))


def _activations(model: nn.Module, batch_shape: tuple[int, ...]) -> int:
    """Return how many numbers a forward pass of one batch produces, over all modules."""
    count = math.prod(batch_shape)

    def add(_module: nn.Module, _inputs: object, output: object) -> None:
        nonlocal count
        if isinstance(output, Tensor):
            count += output.numel()

    handles = [m.register_forward_hook(add) for m in model.modules()]
    parameter = next(model.parameters())
    training = {m: m.training for m in model.modules()}
    try:
        model.eval()  # so that no running statistic moves
        with torch.no_grad():
            model(torch.zeros(batch_shape, device=parameter.device, dtype=parameter.dtype))
    finally:
        for module, mode in training.items():
            module.training = mode
        for handle in handles:
            handle.remove()
    return count
