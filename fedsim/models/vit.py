"""Vision transformer."""

import math
from collections import OrderedDict
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  (the name that everybody knows)

from fedsim.core.registry import MODELS
from fedsim.models.base import (
    Activation,
    ImageShape,
    ModelSpec,
    Width,
    activation,
    default_bound,
    draw_uniform,
)

POSITION_STD = 0.02
"""Standard deviation of the class token and the position embedding, as in the authors' code."""


@MODELS.register("vit")
class ViT(ModelSpec):
    """A vision transformer: patches, a learnable position embedding, and pre-norm attention.

    Source: Dosovitskiy et al., ICLR 2021 (arXiv 2010.11929), section 3.1; the logits are read
    from a class token. The attention is written out, so that it has the second derivative that
    gradient matching needs, which PyTorch's fused kernels do not have. Pictures whose sides are
    not multiples of ``patch`` are padded with zeros at the right and the bottom.

    Args:
        patch: height and width of a patch in pixels: 4 for pictures of 28 to 32 pixels, 16 for
            224.
        width: numbers in each token; above the number of patches, one picture's gradient gives
            it away in closed form (attack `april`).
        depth: number of attention blocks.
        heads: attention heads; they divide ``width``.
        mlp_ratio: hidden units of each block's dense layers, per ``width``.
        activation: between the dense layers of a block.
    """

    patch: Annotated[int, Field(ge=1)] = 4
    width: Width = 96
    depth: Annotated[int, Field(ge=1)] = 2
    heads: Annotated[int, Field(ge=1)] = 4
    mlp_ratio: Annotated[int, Field(ge=1)] = 2
    activation: Activation = "gelu"

    def __post_init__(self) -> None:
        if self.width % self.heads:
            raise ValueError(
                f"width = {self.width} is not a multiple of heads = {self.heads}: expected heads "
                "of equal width"
            )

    def architecture(self, image_shape: ImageShape, num_classes: int) -> nn.Module:
        """Return the layers, the last of them named ``head``."""
        channels, *sides = image_shape
        rows, columns = (math.ceil(side / self.patch) for side in sides)
        missing = (columns * self.patch - sides[1], rows * self.patch - sides[0])
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        if any(missing):
            layers["pad"] = nn.ZeroPad2d((0, missing[0], 0, missing[1]))
        layers["patches"] = nn.Conv2d(channels, self.width, self.patch, self.patch)
        layers["tokens"] = Tokens(rows * columns, self.width)
        for number in range(1, self.depth + 1):
            layers[f"block{number}"] = Block(self)
        layers["norm"] = nn.LayerNorm(self.width)
        layers["class"] = ClassToken()
        layers["head"] = nn.Linear(self.width, num_classes)
        return nn.Sequential(layers)

    def initialise(self, model: nn.Module, generator: torch.Generator) -> None:
        """Draw tokens and positions from a normal distribution, other layers as PyTorch does."""
        for layer in model.modules():
            if isinstance(layer, Tokens):
                nn.init.normal_(layer.first, std=POSITION_STD, generator=generator)
                nn.init.normal_(layer.positions, std=POSITION_STD, generator=generator)
            elif isinstance(layer, nn.Linear | nn.Conv2d):
                draw_uniform(layer, default_bound(layer), generator)
            elif isinstance(layer, nn.LayerNorm):
                layer.reset_parameters()


class Tokens(nn.Module):
    """The patches as a sequence behind a class token, each with the embedding of its position.

    Args:
        patches: number of patches.
        width: numbers in each token.
    """

    def __init__(self, patches: int, width: int) -> None:
        super().__init__()
        self.first = nn.Parameter(torch.zeros(1, 1, width))
        self.positions = nn.Parameter(torch.zeros(1, 1 + patches, width))

    def forward(self, maps: Tensor) -> Tensor:
        """Return the tokens ``(N, 1 + patches, width)`` for maps ``(N, width, rows, columns)``."""
        patches = maps.flatten(2).mT
        first = self.first.expand(len(maps), -1, -1)
        return torch.cat([first, patches], dim=1) + self.positions


class Attention(nn.Module):
    """Multi-head attention of a sequence to itself, written out.

    Args:
        width: numbers in each token.
        heads: number of heads.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the sequence ``(N, L, width)`` after attention."""
        several, length, width = tokens.shape
        shape = (several, length, 3, self.heads, width // self.heads)
        query, key, value = self.qkv(tokens).view(shape).permute(2, 0, 3, 1, 4).unbind(0)
        scores = query @ key.mT / math.sqrt(query.shape[-1])
        mixed = F.softmax(scores, dim=-1) @ value
        found: Tensor = self.out(mixed.transpose(1, 2).reshape(several, length, width))
        return found


class Block(nn.Module):
    """Attention and two dense layers, each behind a layer norm and beside a shortcut.

    Args:
        spec: hyper-parameters of the model.
    """

    def __init__(self, spec: ViT) -> None:
        super().__init__()
        hidden = spec.mlp_ratio * spec.width
        self.norm1 = nn.LayerNorm(spec.width)
        self.attention = Attention(spec.width, spec.heads)
        self.norm2 = nn.LayerNorm(spec.width)
        self.dense1 = nn.Linear(spec.width, hidden)
        self.act = activation(spec.activation)
        self.dense2 = nn.Linear(hidden, spec.width)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the sequence ``(N, L, width)`` after the block."""
        tokens = tokens + self.attention(self.norm1(tokens))
        found: Tensor = tokens + self.dense2(self.act(self.dense1(self.norm2(tokens))))
        return found


class ClassToken(nn.Module):
    """The first token of a sequence."""

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the class token ``(N, width)``."""
        return tokens[:, 0]
