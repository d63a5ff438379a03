"""Convolutions of small pictures as products of matrices, whose gradients share what they unfold.

On a CPU, PyTorch computes convolutions by oneDNN, which prepares each for longer than one of a
network like the papers' takes, and lanes with weights of their own as groups of one convolution.
Unfolded, a layer's input serves its output, the gradient of its weights and both derivatives
thereof.
"""

from __future__ import annotations

import math
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
    if input.device.type == "cpu" and input.ndim == 4 and plain:
        amount = (0, 0) if padding == "valid" else _pair(padding)
        given = (shape[1:], kernel, _pair(stride), amount, _pair(dilation))
        places, (height, width) = _places(*given)
        unfolded = lanes * shape[0] * weight[0].numel() * height * width
        small = weight.numel() * height * width <= MOST_PRODUCTS and unfolded <= MOST_UNFOLDED
        if small and height > 0 and width > 0:
            padded = F.pad(input.reshape(shape[0], -1), (1, 0))
            columns = padded.index_select(1, torch.from_numpy(places))
            columns = columns.view(shape[0], -1, height * width)
            rows = weight.reshape(1, len(weight), -1).expand(shape[0], -1, -1)
            found = torch.bmm(rows, columns)
            found = found if bias is None else found + bias[:, None]
            return found.view(shape[0], -1, height, width)
    return torch.conv2d(input, weight, bias, stride, padding, dilation, groups)


def _pair(value: Any) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (value[0], value[-1])


@lru_cache(maxsize=256)
def _places(
    shape: tuple[int, int, int],
    kernel: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int],
) -> tuple[NDArray[np.int64], tuple[int, int]]:
    """Return the places of an unfolded picture's numbers, and the height and width of the result.

    Places count from one; at zero there is a zero for what lies outside.
    """
    channels, *sides = shape
    lines = []  # for each axis, what a place of the kernel sees of each place of the result
    for n, k, s, p, d in zip(sides, kernel, stride, padding, dilation, strict=True):
        count = (n + 2 * p - d * (k - 1) - 1) // s + 1
        lines.append(d * np.arange(k)[:, None] + s * np.arange(count) - p)
    rows, columns = lines
    seen = (rows[:, None, :, None], columns[None, :, None, :])
    inside = np.logical_and(*((x >= 0) & (x < n) for x, n in zip(seen, sides, strict=True)))
    within = seen[0] * sides[1] + seen[1]
    starts = np.arange(channels)[:, None, None, None, None] * math.prod(sides)
    places = np.where(inside, 1 + starts + within, 0)
    return places.reshape(-1), (rows.shape[1], columns.shape[1])
