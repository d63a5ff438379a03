"""Blocks that a server can insert into the model of its clients.

Real clients that take their model's code from the server, as in many frameworks of federated
learning, run whatever it sends. Here no code travels: a message names a block of this module, and
the client builds it around its own model, with the sizes of the tensors that came with it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from fedsim.core.errors import DataError
from fedsim.core.modules import on_cpu

BLOCK_KEY = "block"
"""Key of a train message's config that names the inserted block."""


class Imprinted(nn.Module):
    """A model behind an imprint layer: ``model(x + spread(gather(relu(imprint(x)))))``.

    Fowl et al., Robbing the Fed (arXiv 2110.13057): a dense layer measures each picture, and what
    passes its ReLU is added to the picture, so that the model behind it goes on working.

    Args:
        model: the model, which takes pictures ``(N, *shape)``.
        numbers: numbers of a picture.
        bins: rows of the imprint layer.
    """

    def __init__(self, model: nn.Module, numbers: int, bins: int) -> None:
        super().__init__()
        self.imprint = _dense(numbers, bins)
        self.gather = _dense(bins, 1, bias=False)
        self.spread = _dense(1, numbers, bias=False)
        self.model = model
        self.train(model.training)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the model's logits ``(N, classes)`` of pictures ``(N, *shape)``."""
        passed = torch.relu(self.imprint(inputs.flatten(1)))
        added = self.spread(self.gather(passed)).view(inputs.shape)
        logits: Tensor = self.model(inputs + added)
        return logits


def _dense(inputs: int, outputs: int, *, bias: bool = True) -> nn.Module:
    """Return a dense layer with undefined values, without drawing from the global state."""
    return on_cpu(nn.Linear(inputs, outputs, bias=bias, device="meta"))


def _imprinted(model: nn.Module, weights: Mapping[str, Tensor]) -> nn.Module:
    rows, numbers = weights["imprint.weight"].shape
    return Imprinted(model, numbers, rows)


BLOCKS: dict[str, Callable[[nn.Module, Mapping[str, Tensor]], nn.Module]] = {"imprint": _imprinted}
"""``(the client's model, the received tensors)`` to the model with the block, by its name."""


def with_block(model: nn.Module, name: str, weights: Mapping[str, Tensor]) -> nn.Module:
    """Return a client's model with the block that a message names.

    Args:
        model: the client's own model.
        name: name of the block.
        weights: the received tensors, from which the block takes its sizes.

    Raises:
        DataError: the block is unknown, or its tensors are missing.
    """
    if name not in BLOCKS:
        raise DataError(f"the server named the block {name!r}: expected one of {sorted(BLOCKS)}")
    try:
        return BLOCKS[name](model, weights)
    except (KeyError, ValueError) as error:
        raise DataError(f"the tensors of the block {name!r} are missing: {error}") from None
