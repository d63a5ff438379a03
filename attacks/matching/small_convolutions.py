"""Convolutions of single small pictures, by the kernel that is quickest for them.

On a CPU, PyTorch computes convolutions by oneDNN, which prepares each for longer than one of a
network like the papers' takes. PyTorch's own kernels, an unfolding and a product of matrices, take
a third of the time there. Which are used can be set for the whole process only
(``torch.backends.mkldnn``), where clients train meanwhile, so that they are called by name.
"""

from __future__ import annotations

import math
from typing import Any

import torch

_MOST = 1_000_000
"""Most products of two numbers in a small convolution. From about five million on, oneDNN is
quicker, and so it is for eight pictures."""
_aten = torch.ops.aten


def quicker(func: Any, args: tuple[Any, ...]) -> tuple[Any, tuple[Any, ...]]:
    """Return the operation and arguments by which to compute a given operation.

    Args:
        func: an operation that reached the processor.
        args: its arguments.
    """
    given: tuple[Any, ...]
    if func is _aten.convolution.default:
        x, weight, bias, stride, padding, dilation, transposed, more, groups = args
        if groups == 1 and _is_small(x, weight, x if transposed else None, stride, dilation):
            kernel = list(weight.shape[2:])
            if transposed:
                given = (x, weight, kernel, bias, stride, padding, more, dilation)
                return _aten.slow_conv_transpose2d.default, given
            given = (x, weight, kernel, bias, stride, padding)
            return _aten._slow_conv2d_forward.default, given
    if func is _aten.convolution_backward.default:
        out, x, weight, _, stride, padding, dilation, transposed, _, groups, wanted = args
        if groups == 1 and not transposed and _is_small(x, weight, out, stride, dilation):
            kernel = list(weight.shape[2:])
            given = (out, x, weight, kernel, stride, padding, wanted)
            return _aten._slow_conv2d_backward.output_mask, given
    return func, args


def _is_small(
    x: torch.Tensor,
    weight: torch.Tensor,
    places: torch.Tensor | None,
    stride: list[int],
    dilation: list[int],
) -> bool:
    """Return whether a convolution is of one small picture.

    Args:
        x: its input ``(N, C, H, W)``.
        weight: its weights.
        places: a tensor with a value for each place of the kernel; None for one value each stride.
        stride: its strides.
        dilation: its dilations; spread kernels are quick as they are.
    """
    if x.device.type != "cpu" or x.ndim != 4 or len(x) != 1 or set(dilation) != {1}:
        return False
    area = math.prod(x.shape[2:]) / math.prod(stride) if places is None else places[0, 0].numel()
    return weight.numel() * area <= _MOST
