"""The models that clients train.

Importing this package registers every model that comes with fedsim.
"""

from fedsim.models.base import Activation, ImageShape, ModelSpec
from fedsim.models.convnet import ConvNet
from fedsim.models.lenet import LeNet
from fedsim.models.lite0 import EfficientNetLite0
from fedsim.models.loss import cross_entropy
from fedsim.models.losses import Loss, register_loss
from fedsim.models.mlp import MLP
from fedsim.models.own import register_model
from fedsim.models.precode import Precode, draw_from
from fedsim.models.resnet import ResNet18
from fedsim.models.spec import Spec
from fedsim.models.text import Bert, Gpt2, LanguageModel, TextModel, Vocabulary
from fedsim.models.torchvision_models import Torchvision
from fedsim.models.vit import ViT

__all__ = [
    "MLP",
    "Activation",
    "Bert",
    "ConvNet",
    "EfficientNetLite0",
    "Gpt2",
    "ImageShape",
    "LanguageModel",
    "LeNet",
    "Loss",
    "ModelSpec",
    "Precode",
    "ResNet18",
    "Spec",
    "TextModel",
    "Torchvision",
    "ViT",
    "Vocabulary",
    "cross_entropy",
    "draw_from",
    "register_loss",
    "register_model",
]
