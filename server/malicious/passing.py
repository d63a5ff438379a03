"""Convolutions that pass a picture on to a dense layer."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from fedsim.core.errors import RunError
from fedsim.core.modules import probing

FAINT = 1e-3
"""Size of the numbers in place of zeros, in units of the weight that passes a channel on."""


def pass_on(
    model: nn.Module, inputs: Tensor, generator: torch.Generator | None = None
) -> list[str]:
    """Set the convolutions in front of the first dense layer so that they pass pictures on.

    Each filter has one weight of 1 and moves a channel by some pixels. Behind a stride, or average
    pooling, several filters pass a channel on, each moved by another pixel, so that strides lose
    nothing, and the averages of overlapping windows can be undone. If there are not enough
    filters, the first ones of each channel are passed on.

    Args:
        model: the model, which is modified.
        inputs: public pictures ``(N, C, H, W)``, as the model takes them.
        generator: source of small positive numbers in place of zeros; None for zeros.

    Returns:
        names of the changed tensors; none if no convolution is in front of a dense layer.

    Raises:
        RunError: a convolution is grouped or dilated.
    """
    layers = _in_front(model, inputs[:1])
    lowest, channels = float(inputs.min()), inputs.shape[1]
    names: list[str] = []
    for place, (name, layer) in enumerate(layers):
        if not isinstance(layer, nn.Conv2d):
            continue
        if layer.groups != 1 or set(layer.dilation) != {1}:
            raise RunError(
                f"adversary.malicious: '{name}' is grouped or dilated, and passes no picture on"
            )
        pooled = _pooling(layers[place + 1 :])
        channels = _move(layer, channels, _taps(layer, pooled), generator)
        names.append(f"{name}.weight")
        if layer.bias is not None:
            # Above zero, ReLU changes nothing.
            with torch.no_grad():
                layer.bias.fill_(max(0.0, -lowest) * float(layer.weight.sum((1, 2, 3)).max()))
            names.append(f"{name}.bias")
        lowest = max(0.0, lowest)
    return names


def _in_front(model: nn.Module, inputs: Tensor) -> list[tuple[str, nn.Module]]:
    """Return the layers up to the first dense one, in the order in which they compute."""
    names = {module: name for name, module in model.named_modules()}
    seen: list[tuple[str, nn.Module]] = []

    def look(module: nn.Module, given: tuple[Any, ...], output: Any) -> None:
        if next(module.children(), None) is None:
            seen.append((names[module], module))

    with probing(model, look):
        model(inputs)
    dense = [i for i, (_, module) in enumerate(seen) if isinstance(module, nn.Linear)]
    return seen[: dense[0]] if dense else []


def _pooling(layers: list[tuple[str, nn.Module]]) -> tuple[int, int]:
    """Return the windows of average pooling before the next convolution."""
    down, right = 1, 1
    for _, layer in layers:
        if isinstance(layer, nn.Conv2d):
            break
        if isinstance(layer, nn.AvgPool2d):
            height, width = _pair(layer.stride)
            down, right = down * height, right * width
    return down, right


def _pair(size: int | tuple[int, int]) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else size


def _taps(layer: nn.Conv2d, pooled: tuple[int, int]) -> tuple[range, range]:
    """Return the positions in the kernel of the filters' weights, by row and by column.

    Under pooling they begin in the padding, so that the first window holds one row of pixels alone.
    """
    if isinstance(layer.padding, str):
        padding = tuple(
            (size - 1) // 2 if layer.padding == "same" else 0 for size in layer.kernel_size
        )
    else:
        padding = layer.padding
    found = []
    for axis in (0, 1):
        size = layer.kernel_size[axis]
        count = min(size, layer.stride[axis] * pooled[axis])
        start = padding[axis] - (1 if pooled[axis] > 1 else 0)
        found.append(range(max(0, min(start, size - count)), size)[:count])
    return found[0], found[1]


def _move(
    layer: nn.Conv2d,
    channels: int,
    taps: tuple[range, range],
    generator: torch.Generator | None,
) -> int:
    """Set the filters of a convolution, and return the number of channels that it passes on."""
    moves = [(c, row, column) for row in taps[0] for column in taps[1] for c in range(channels)]
    used = moves[: layer.out_channels]
    with torch.no_grad():
        layer.weight.zero_()
        if generator is not None:
            # Positive, so that what is above zero stays above it.
            layer.weight.copy_(FAINT * torch.rand(layer.weight.shape, generator=generator))
        for filter_, (channel, row, column) in enumerate(used):
            layer.weight[filter_, channel, row, column] = 1
    return len(used)
