"""Dense networks."""

import math
from collections import OrderedDict

from torch import nn

from fedsim.core.registry import MODELS
from fedsim.models.base import Activation, ImageShape, ModelSpec, Widths, activation


@MODELS.register("mlp")
class MLP(ModelSpec):
    """Dense layers with the same activation after each hidden layer.

    A dense first layer reveals a single image in closed form, so this is the simplest network
    to demonstrate leakage.

    Args:
        hidden: widths of the hidden layers; without any, the model is logistic regression.
        activation: applied after each hidden layer.
    """

    hidden: Widths = (256,)
    activation: Activation = "sigmoid"

    def architecture(self, image_shape: ImageShape, num_classes: int) -> nn.Module:
        """Return the layers, the last of them named ``head``."""
        layers: OrderedDict[str, nn.Module] = OrderedDict(flatten=nn.Flatten())
        inputs = math.prod(image_shape)
        for number, width in enumerate(self.hidden, start=1):
            layers[f"dense{number}"] = nn.Linear(inputs, width)
            layers[f"act{number}"] = activation(self.activation)
            inputs = width
        layers["head"] = nn.Linear(inputs, num_classes)
        return nn.Sequential(layers)
