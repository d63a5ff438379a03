"""ResNet-18."""

from typing import Literal

import torch
from torch import nn

from fedsim.core.registry import MODELS
from fedsim.models.base import ImageShape, ModelSpec
from fedsim.models.inputs import FrozenBatchNorm2d


@MODELS.register("resnet18")
class ResNet18(ModelSpec):
    """Torchvision's ResNet-18, untrained; its ReLUs have no second derivative.

    Source: He et al., arXiv 1512.03385. The stem for small images is the usual one for CIFAR:
    a 3 x 3 convolution of stride 1 without pooling.

    Args:
        batch_norm: the statistics that the batch-normalisation layers use while a client computes
            its gradients. ``"train"``: the batch's statistics, which also update the running
            statistics. ``"eval"``: the running statistics, which never change, not even in
            training mode.
        small_images: use the stem for small images instead of the stem for 224 x 224.
    """

    batch_norm: Literal["train", "eval"] = "train"
    small_images: bool = True

    def architecture(self, image_shape: ImageShape, num_classes: int) -> nn.Module:
        """Return torchvision's network with another stem, the last layer named ``fc``."""
        # Imported late: the import takes seconds, and other models do not need it.
        from torchvision.models import resnet18  # noqa: PLC0415

        norm = FrozenBatchNorm2d if self.batch_norm == "eval" else nn.BatchNorm2d
        model: nn.Module = resnet18(num_classes=num_classes, norm_layer=norm)
        if self.small_images:
            model.conv1 = nn.Conv2d(image_shape[0], 64, 3, stride=1, padding=1, bias=False)
            model.maxpool = nn.Identity()
        else:
            model.conv1 = nn.Conv2d(image_shape[0], 64, 7, stride=2, padding=3, bias=False)
        for layer in model.modules():
            if isinstance(layer, nn.ReLU):
                layer.inplace = False
        return model

    def initialise(self, model: nn.Module, generator: torch.Generator) -> None:
        """Initialise the convolutions as torchvision does, and the other layers as PyTorch does."""
        super().initialise(model, generator)
        for layer in model.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(
                    layer.weight, mode="fan_out", nonlinearity="relu", generator=generator
                )
