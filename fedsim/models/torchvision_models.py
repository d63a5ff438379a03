"""Torchvision's classifiers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import nn

from fedsim.core.errors import DataError, closest
from fedsim.core.randomness import global_randomness
from fedsim.core.registry import MODELS
from fedsim.models.base import ImageShape, ModelSpec
from fedsim.models.inputs import FrozenBatchNorm2d, Inputs, Normalise
from fedsim.models.pretrained import WeightsFile, load_weights, read_state

_SEVERAL_OUTPUTS = ("googlenet", "inception_v3")


class Network(nn.Sequential):
    """A network behind the preparation of its pictures: ``inputs`` and ``net``.

    Attributes:
        classes: number of outputs.

    Args:
        inputs: prepares the pictures.
        net: the network.
        classes: number of outputs.
    """

    def __init__(self, inputs: Inputs, net: nn.Module, classes: int) -> None:
        super().__init__()
        self.inputs, self.net, self.classes = inputs, net, classes


@MODELS.register("torchvision")
class Torchvision(ModelSpec):
    """Any classifier of torchvision's by its name, such as ``resnet50`` or ``vit_b_16``.

    Weights are drawn as torchvision draws them, or read from a file; nothing is fetched. A last
    layer of another number of classes than the file's is drawn anew. Grey pictures get three equal
    channels. Dropout and stochastic depth are off, and no activation works in place.

    Args:
        arch: name in ``torchvision.models.list_models()``.
        weights: file with a pretrained state dict; None for random weights.
        batch_norm: as in ``resnet18``: ``"train"`` for the batch's statistics, ``"eval"`` for the
            running ones, which never change.
        normalise: what the model does to pictures in [0, 1] first; ``"imagenet"`` suits
            torchvision's pretrained weights.
        side: height and width to which the model resizes pictures; transformers have one size.
    """

    arch: Annotated[str, Field(min_length=1)] = "resnet18"
    weights: WeightsFile = None
    batch_norm: Literal["train", "eval"] = "train"
    normalise: Normalise = "imagenet"
    side: Annotated[int | None, Field(ge=1)] = None

    def architecture(self, image_shape: ImageShape, num_classes: int) -> nn.Module:
        """Return the network behind the preparation of its pictures.

        Raises:
            DataError: torchvision has no such classifier, or it does not take such pictures.
        """
        # Imported late: the import takes seconds, and other models do not need it.
        from torchvision import models  # noqa: PLC0415

        if image_shape[0] not in (1, 3):
            raise DataError(
                f"torchvision's {self.arch} takes pictures of 1 or 3 channels, not {image_shape[0]}"
            )
        names = sorted(set(models.list_models(module=models)) - set(_SEVERAL_OUTPUTS))
        if self.arch not in names:
            raise DataError(
                f"arch = {self.arch!r}: torchvision has no such classifier with one output: "
                f"{closest(self.arch, names)}"
            )
        net = models.get_model(self.arch, weights=None, num_classes=num_classes)
        return Network(
            Inputs(self.side, self.normalise), settled(net, self.batch_norm), num_classes
        )

    def initialise(self, model: nn.Module, generator: torch.Generator) -> None:
        """Draw the weights as torchvision does, or read them from the file.

        Raises:
            DataError: the file cannot be read, or belongs to another network.
        """
        if not isinstance(model, Network):
            raise TypeError(f"expected a Network, found {type(model).__name__}")
        # Torchvision draws from the global state, which is restored.
        with global_randomness(generator.initial_seed()):
            fresh = self.architecture((3, 1, 1), model.classes)
        model.load_state_dict(fresh.state_dict())
        if self.weights is not None:
            source = Path(self.weights)
            load_weights(model.net, read_state(source), source)


def settled(
    net: nn.Module, batch_norm: Literal["train", "eval"], *, dropout: bool = False
) -> nn.Module:
    """Return a network without dropout and operations in place, and with the wanted BatchNorm.

    Args:
        net: the network; modified.
        batch_norm: whether BatchNorm layers stay in evaluation mode.
        dropout: whether to leave dropout as it is.
    """
    module: Any
    for module in list(net.modules()):
        if getattr(module, "inplace", False):
            module.inplace = False
        drawing = isinstance(module, nn.modules.dropout._DropoutNd) and not dropout
        if drawing or "StochasticDepth" in str(type(module)):
            module.p = 0.0
        for name, child in module.named_children():
            if batch_norm == "eval" and type(child) is nn.BatchNorm2d:
                frozen = FrozenBatchNorm2d(child.num_features, child.eps, child.momentum)
                setattr(module, name, frozen)
    return net
