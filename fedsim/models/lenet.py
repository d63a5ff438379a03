"""The network of Deep Leakage from Gradients."""

import math
from collections import OrderedDict
from typing import Annotated

import torch
from pydantic import Field
from torch import nn

from fedsim.core.registry import MODELS
from fedsim.models.base import ImageShape, ModelSpec, Width, draw_uniform

_STRIDES = (2, 2, 1)


@MODELS.register("lenet")
class LeNet(ModelSpec):
    """Three 5 x 5 convolutions with sigmoids and one dense layer: the network of the DLG paper.

    It is twice differentiable. Weights and biases come from a wide uniform distribution; with
    smaller weights the sigmoids would pass on almost no signal.

    Source: Zhu, Liu, Han, NeurIPS 2019, section 4.1, and the authors' code
    (https://github.com/mit-han-lab/dlg). The paper's images are 32 x 32; here the
    dense layer is adapted to any size.

    Args:
        channels: channels of each convolution.
        init_range: weights and biases are drawn from U(-init_range, init_range).
    """

    channels: Width = 12
    init_range: Annotated[float, Field(gt=0)] = 0.5

    def architecture(self, image_shape: ImageShape, num_classes: int) -> nn.Module:
        """Return the layers, the last of them named ``head``."""
        inputs, height, width = image_shape
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        for number, stride in enumerate(_STRIDES, start=1):
            layers[f"conv{number}"] = nn.Conv2d(inputs, self.channels, 5, stride, padding=2)
            layers[f"act{number}"] = nn.Sigmoid()
            inputs = self.channels
            height, width = math.ceil(height / stride), math.ceil(width / stride)
        layers["flatten"] = nn.Flatten()
        layers["head"] = nn.Linear(self.channels * height * width, num_classes)
        return nn.Sequential(layers)

    def initialise(self, model: nn.Module, generator: torch.Generator) -> None:
        """Draw all weights and biases from U(-init_range, init_range)."""
        for layer in model.modules():
            draw_uniform(layer, self.init_range, generator)
