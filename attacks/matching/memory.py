"""The number of lanes that fit the memory."""

import math
import os

import torch
from torch import Tensor, nn

from fedsim.core.modules import probing

GB = 1e9

# Tensors alive at once in one evaluation, as multiples of one lane's forward pass and gradient,
# from the peak memory of 16 and 48 lanes of colour 32x32: the paper's network took 0.76 to 0.87 MB
# per lane for an estimate of 0.97, the ConvNet 5.9 to 6.5 MB for an estimate of 7.2.
ACTIVATION_COPIES = 8
GRADIENT_COPIES = 6

CPU_SHARE_BYTES = 1 * GB
GPU_SHARE = 0.8


def lanes_that_fit(
    model: nn.Module,
    batch_shape: tuple[int, ...],
    *,
    points: int,
    gradients: int = 1,
    memory_gb: float | None = None,
) -> int:
    """Return the number of lanes that may run at once, at least 1.

    Args:
        model: the attacked model.
        batch_shape: shape of the examples in one evaluation of one lane.
        points: numbers that the optimiser stores for a lane.
        gradients: gradients in one evaluation: one for each local step that it unrolls, or one
            for each example or client whose gradient is changed on its own.
        memory_gb: memory of all lanes together; None for the free memory.
    """
    numbers = sum(p.numel() for p in model.parameters() if p.requires_grad)
    floats = (
        points
        + ACTIVATION_COPIES * _activations(model, batch_shape)
        + GRADIENT_COPIES * gradients * numbers
    )
    parameter = next(model.parameters())
    budget = free_bytes(parameter.device) if memory_gb is None else memory_gb * GB
    return max(1, int(budget / (floats * parameter.element_size())))


def free_bytes(device: torch.device) -> float:
    """Return the memory in bytes that attacks may take by default.

    On a GPU most of what is free. On a CPU at most `CPU_SHARE_BYTES`, since more lanes at once
    are no faster there, and at most half of what is free.
    """
    if device.type == "cuda":
        return GPU_SHARE * torch.cuda.mem_get_info(device)[0]
    try:
        free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):  # not every system tells
        return CPU_SHARE_BYTES
    return min(CPU_SHARE_BYTES, free / 2)


def _activations(model: nn.Module, batch_shape: tuple[int, ...]) -> int:
    """Return the count of numbers that a forward pass produces, over all modules."""
    count = math.prod(batch_shape)

    def add(_module: nn.Module, _inputs: object, output: object) -> None:
        nonlocal count
        if isinstance(output, Tensor):
            count += output.numel()

    parameter = next(model.parameters())
    with probing(model, add):
        model(torch.zeros(batch_shape, device=parameter.device, dtype=parameter.dtype))
    return count
