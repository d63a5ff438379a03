"""A variational bottleneck in front of the classification layer (PRECODE)."""

from collections import OrderedDict
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from fedsim.core.modules import Drawing
from fedsim.core.registry import MODELS
from fedsim.models.base import ImageShape, ModelSpec, default_bound, draw_uniform
from fedsim.models.convnet import ConvNet
from fedsim.models.lenet import LeNet
from fedsim.models.mlp import MLP

_BASES: dict[str, type[ModelSpec]] = {"convnet": ConvNet, "lenet": LeNet, "mlp": MLP}


class VariationalBottleneck(Drawing):
    """Encodes features as a Gaussian, draws a sample from it, and decodes the sample.

    Attributes:
        generator: source of the samples in training mode; without a generator, and in evaluation
            mode, the mean replaces the sample. The client sets it (`draw_from`), so that its
            samples depend only on its seed; an attacker, who does not know them, uses the mean.
        draws: given standard normal draws ``(N, size)``, from which an adaptive attacker computes
            the samples, whatever the mode and the generator.

    Args:
        features: number of input and output features.
        size: dimensions of the Gaussian.
    """

    def __init__(self, features: int, size: int) -> None:
        super().__init__()
        self.encoder = nn.Linear(features, 2 * size)
        self.decoder = nn.Linear(size, features)
        self.draw_size = size
        self.generator: torch.Generator | None = None

    def forward(self, features: Tensor) -> Tensor:
        """Return decoded features, ``(N, features)`` like the input."""
        mean, log_variance = self.encoder(features).chunk(2, dim=-1)
        noise = self._noise(mean)
        if noise is None:
            return self.decoder(mean)  # type: ignore[no-any-return]
        drawn = mean + (log_variance / 2).exp() * noise.to(mean.device)
        return self.decoder(drawn)  # type: ignore[no-any-return]

    def _noise(self, like: Tensor) -> Tensor | None:
        """Return standard normal draws, or None to use the mean."""
        if self.draws is not None:
            return self.draws
        if self.generator is None or not self.training:
            return None
        device = self.generator.device
        return torch.randn(like.shape, generator=self.generator, dtype=like.dtype, device=device)


def draw_from(model: nn.Module, generator: torch.Generator) -> None:
    """Set the generator from which the stochastic layers of a model draw."""
    for layer in model.modules():
        if isinstance(layer, VariationalBottleneck):
            layer.generator = generator


@MODELS.register("precode")
class Precode(ModelSpec):
    """Another model with a variational bottleneck in front of its last layer (PRECODE).

    Source: Scheliga, Mäder, Seeland, PRECODE: A Generic Model Extension to Prevent Deep Gradient
    Leakage, WACV 2022 (arXiv 2108.04725): a dense layer gives the mean and the log variance of
    a Gaussian, and another dense layer decodes a sample of it. The paper's loss has a
    Kullback-Leibler term for the Gaussian; here, as for all models, the loss is the cross-entropy.

    Args:
        base: the other model, with its defaults.
        bottleneck: dimensions of the Gaussian; 256 in the paper.
    """

    base: Literal["convnet", "lenet", "mlp"] = "lenet"
    bottleneck: Annotated[int, Field(ge=1)] = 256

    def architecture(self, image_shape: ImageShape, num_classes: int) -> nn.Module:
        """Return the other model's layers with a layer ``bottleneck`` before ``head``."""
        inner = _BASES[self.base]().architecture(image_shape, num_classes)
        layers = OrderedDict(inner.named_children())
        head = layers.pop("head")
        if not isinstance(head, nn.Linear):
            raise TypeError(f"the last layer of {self.base} is a {type(head).__name__}")
        layers["bottleneck"] = VariationalBottleneck(head.in_features, self.bottleneck)
        layers["head"] = head
        return nn.Sequential(layers)

    def initialise(self, model: nn.Module, generator: torch.Generator) -> None:
        """Initialise the other model's layers as it does, and the bottleneck as PyTorch does."""
        _BASES[self.base]().initialise(model, generator)
        for layer in model.get_submodule("bottleneck").children():
            draw_uniform(layer, default_bound(layer), generator)
