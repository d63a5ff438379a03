"""A small convolutional network that trains well."""

import math
from collections import OrderedDict

from torch import nn

from fedsim.core.registry import MODELS
from fedsim.models.base import Activation, ImageShape, ModelSpec, Widths, activation


@MODELS.register("convnet")
class ConvNet(ModelSpec):
    """Blocks of a 3 x 3 convolution, an activation and average pooling, then dense layers.

    Average pooling is used because max pooling has no useful second derivative.

    Args:
        channels: channels of each block's convolution; each block halves height and width.
        activation: gradient matching needs a smooth activation; ``relu`` is not smooth.
        batch_norm: put batch normalisation between each convolution and its activation.
        hidden: widths of dense layers between the blocks and the last layer, each with the same
            activation behind it.
    """

    channels: Widths = (32, 64, 128)
    activation: Activation = "gelu"
    batch_norm: bool = False
    hidden: Widths = ()

    def architecture(self, image_shape: ImageShape, num_classes: int) -> nn.Module:
        """Return the layers, the last of them named ``head``."""
        inputs, height, width = image_shape
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        for number, channels in enumerate(self.channels, start=1):
            layers[f"conv{number}"] = nn.Conv2d(inputs, channels, 3, padding=1)
            if self.batch_norm:
                layers[f"norm{number}"] = nn.BatchNorm2d(channels)
            layers[f"act{number}"] = activation(self.activation)
            layers[f"pool{number}"] = nn.AvgPool2d(2, ceil_mode=True)
            inputs = channels
            height, width = math.ceil(height / 2), math.ceil(width / 2)
        layers["flatten"] = nn.Flatten()
        inputs *= height * width
        for number, width in enumerate(self.hidden, start=1):
            layers[f"dense{number}"] = nn.Linear(inputs, width)
            layers[f"act_dense{number}"] = activation(self.activation)
            inputs = width
        layers["head"] = nn.Linear(inputs, num_classes)
        return nn.Sequential(layers)
