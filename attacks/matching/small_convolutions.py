"""Convolutions of small pictures as products of matrices, whose gradients share what they unfold.

On a CPU, PyTorch computes convolutions by oneDNN, which prepares each for longer than one of a
network like the papers' takes, and lanes with weights of their own as groups of one convolution.
Unfolded, a layer's input serves its output, the gradient of its weights and both derivatives
thereof.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F  # noqa: N812
from torch.overrides import TorchFunctionMode
from typing_extensions import override

MOST_PRODUCTS = 1_000_000
"""Most products of two numbers in a small convolution of one picture. Beyond, oneDNN is quicker."""
MOST_UNFOLDED = 1_500_000
"""Most numbers in an unfolded input of all lanes, 6 MB. Beyond, they leave the processor's cache,
and oneDNN is quicker, which unfolds parts."""


class SmallConvolutions(TorchFunctionMode):
    """Context in which small two-dimensional convolutions on a CPU are products of matrices.

    So they are where the gradient of their weights is taken. Elsewhere, as in a learned prior,
    lanes share a convolution.

    Args:
        lanes: how many mapped functions evaluate the model at once.
    """

    def __init__(self, lanes: int) -> None:
        super().__init__()
        self._lanes = lanes

    @override
    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.conv2d:
            return _convolution(self._lanes, *args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))


def small_convolutions(points: Tensor) -> AbstractContextManager[object]:
    """Return the context in which to evaluate a model at the points ``(lanes, n)`` of an attack."""
    if points.device.type != "cpu":  # where looking at each function would only take time
        return nullcontext()
    return SmallConvolutions(len(points))


def _convolution(  # noqa: PLR0917 - those of torch.conv2d
    lanes: int,
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor:
    """Return the result of ``torch.conv2d``, for as many lanes and its arguments."""
    shape, kernel = tuple(input.shape), tuple(weight.shape[2:])
    plain = groups == 1 and padding != "same" and weight.shape[1] == input.shape[1]
    if input.device.type == "cpu" and input.ndim == 4 and plain and weight.requires_grad:
        amount = (0, 0) if padding == "valid" else _pair(padding)
        axes = list(zip(shape[2:], kernel, _pair(stride), amount, _pair(dilation), strict=True))
        height, width = (_count(*axis) for axis in axes)
        if height > 0 and width > 0 and _is_small(lanes, shape[0], weight, height * width):
            padded = F.pad(input.reshape(shape[0], -1), (1, 0))
            columns = padded.index_select(1, torch.from_numpy(_places(shape[1], *axes)))
            columns = columns.view(shape[0], -1, height * width)
            rows = weight.reshape(1, len(weight), -1).expand(shape[0], -1, -1)
            found = torch.bmm(rows, columns)
            found = found if bias is None else found + bias[:, None]
            return found.view(shape[0], -1, height, width)
    return torch.conv2d(input, weight, bias, stride, padding, dilation, groups)


def _is_small(lanes: int, examples: int, weight: Tensor, outputs: int) -> bool:
    """Return whether a convolution is quicker as a product of matrices."""
    unfolded = lanes * examples * weight[0].numel() * outputs
    return weight.numel() * outputs <= MOST_PRODUCTS and unfolded <= MOST_UNFOLDED


def _pair(value: Any) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (value[0], value[-1])


def _count(size: int, kernel: int, stride: int, padding: int, dilation: int) -> int:
    """Return the number of results along an axis."""
    return (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1


@lru_cache(maxsize=64)
def _places(channels: int, *axes: tuple[int, int, int, int, int]) -> NDArray[np.int64]:
    """Return the places of an unfolded picture's numbers, one after the other.

    Places count from one; at zero there is a zero for what lies outside.

    Args:
        channels: of the picture.
        axes: height and width, each the arguments of `_count`.
    """
    rows, columns = (  # what a place of the kernel sees for each result
        dilation * np.arange(kernel)[:, None]
        + stride * np.arange(_count(size, kernel, stride, padding, dilation))
        - padding
        for size, kernel, stride, padding, dilation in axes
    )
    height, width = (axis[0] for axis in axes)
    row, column = rows[:, None, :, None], columns[None, :, None, :]
    inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
    before = np.arange(channels)[:, None, None, None, None] * height * width
    return np.where(inside, 1 + before + row * width + column, 0).reshape(-1)
