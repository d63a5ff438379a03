"""The models that clients train.

Importing this package registers every model that comes with fedsim.
"""

from fedsim.models.base import Activation, ImageShape, ModelSpec
from fedsim.models.convnet import ConvNet
from fedsim.models.lenet import LeNet
from fedsim.models.mlp import MLP
from fedsim.models.precode import Precode, draw_from
from fedsim.models.resnet import ResNet18

__all__ = [
    "MLP",
    "Activation",
    "ConvNet",
    "ImageShape",
    "LeNet",
    "ModelSpec",
    "Precode",
    "ResNet18",
    "draw_from",
]
