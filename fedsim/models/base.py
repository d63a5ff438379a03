"""Base class of every model."""

import math
from abc import abstractmethod
from itertools import chain
from typing import Annotated, ClassVar, Literal, final

import torch
from pydantic import BeforeValidator, Field
from torch import nn

from fedsim.core.checked import checked
from fedsim.core.errors import DataError
from fedsim.core.modality import PICTURES
from fedsim.core.modules import on_cpu
from fedsim.core.seeds import derive
from fedsim.data.types import Dataset
from fedsim.models.spec import Spec

ImageShape = tuple[int, int, int]
Width = Annotated[int, Field(ge=1)]
Widths = Annotated[
    tuple[Width, ...],
    BeforeValidator(lambda value: tuple(value) if isinstance(value, list) else value),
]
"""Widths of several layers: a list, as in TOML, is accepted and converted to a tuple."""

Activation = Literal["elu", "gelu", "relu", "sigmoid", "silu", "softplus", "tanh"]
_ACTIVATIONS: dict[str, type[nn.Module]] = {
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "relu": nn.ReLU,
    "sigmoid": nn.Sigmoid,
    "silu": nn.SiLU,
    "softplus": nn.Softplus,
    "tanh": nn.Tanh,
}

_NORMS = (nn.modules.batchnorm._BatchNorm, nn.GroupNorm, nn.LayerNorm)


@checked
class ModelSpec(Spec):
    """Hyper-parameters of a model, with a method that builds it for given images."""

    modality: ClassVar[str] = PICTURES

    @final
    def for_data(self, dataset: Dataset, seed: int) -> tuple[Dataset, nn.Module]:
        """Return the data set in the form that the model takes, and the built model."""
        return dataset, self.build(dataset.image_shape, dataset.num_classes, seed)

    @final
    def outline(self) -> nn.Module:
        """Return the model for some shape of images, on which its kinds of layers do not depend."""
        return self.skeleton((3, 32, 32), num_classes=2)

    @final
    def build(self, image_shape: ImageShape, num_classes: int, seed: int) -> nn.Module:
        """Build the model with weights that depend only on ``seed``.

        The model takes images ``(N, C, H, W)`` float32 in [0, 1] and returns logits
        ``(N, num_classes)``. It is on the CPU and in training mode. No global random state is
        read or changed.

        Args:
            image_shape: channels, height and width of the images.
            num_classes: number of different labels.
            seed: the run's seed.

        Raises:
            DataError: the shape of the images or the number of classes is invalid, or the model
                does not fit into memory.
        """
        if len(image_shape) != 3 or min(image_shape) < 1 or num_classes < 1:
            raise DataError(
                f"cannot build {type(self).__name__} for images of shape {tuple(image_shape)} in "
                f"{num_classes} classes: expected (channels, height, width) of at least 1 each, "
                "and at least 1 output."
            )
        try:
            model = on_cpu(self.skeleton(image_shape, num_classes))
        except RuntimeError as error:
            raise DataError(
                f"cannot build {self}: {str(error).splitlines()[0]}; choose a smaller model"
            ) from error
        with torch.no_grad():
            self.initialise(model, torch.Generator().manual_seed(derive(seed, "model")))
        return model.train()

    @final
    def skeleton(self, image_shape: ImageShape, num_classes: int) -> nn.Module:
        """Return the model in training mode without values, which takes no memory.

        Args:
            image_shape: channels, height and width of the images.
            num_classes: number of different labels.
        """
        # On the meta device no layer draws the values that it would draw from the global state.
        with torch.device("meta"):
            return self.architecture(image_shape, num_classes).train()

    @abstractmethod
    def architecture(self, image_shape: ImageShape, num_classes: int) -> nn.Module:
        """Return the layers; values assigned to parameters and buffers here are discarded."""

    def initialise(self, model: nn.Module, generator: torch.Generator) -> None:
        """Initialise every parameter and buffer, by default as PyTorch's layers do.

        Args:
            model: the result of :meth:`architecture`, with undefined values.
            generator: the only source of randomness.

        Raises:
            NotImplementedError: the model has a layer of an unsupported type.
        """
        for layer in model.modules():
            if isinstance(layer, nn.Linear | nn.modules.conv._ConvNd):
                draw_uniform(layer, default_bound(layer), generator)
            elif isinstance(layer, _NORMS):
                layer.reset_parameters()
            elif _has_state(layer):
                raise NotImplementedError(
                    f"{type(self).__name__} has a layer of type {type(layer).__name__}: override "
                    "'initialise' to give its parameters and buffers their values."
                )


def _has_state(layer: nn.Module) -> bool:
    own = chain(layer.parameters(recurse=False), layer.buffers(recurse=False))
    return next(own, None) is not None


def default_bound(layer: nn.Module) -> float:
    """Return the bound of the uniform distribution that PyTorch gives a dense layer's weights."""
    weight = layer.get_parameter("weight")
    return 1 / math.sqrt(weight[0].numel())


def draw_uniform(layer: nn.Module, bound: float, generator: torch.Generator) -> None:
    """Draw the layer's own parameters, weights and biases, from U(-bound, bound)."""
    for parameter in layer.parameters(recurse=False):
        nn.init.uniform_(parameter, -bound, bound, generator)


def activation(name: Activation) -> nn.Module:
    """Return the activation with that name; it does not work in place."""
    return _ACTIVATIONS[name]()
