"""Deep Gradient Compression."""

from collections.abc import Mapping
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from fedsim.clients.defenses.base import Defense, Protected
from fedsim.clients.defenses.tensors import floating, kept_fraction
from fedsim.core.registry import DEFENSES
from fedsim.core.vectors import share_of

_FIRST_SHARE = 0.25
"""Share of the coordinates sent in the first upload of a warm-up."""


@DEFENSES.register("dgc")
class DeepGradientCompression(Defense):
    """Send only each tensor's largest values, and keep the others for later uploads.

    Source: Lin et al., Deep Gradient Compression, ICLR 2018 (arXiv 1712.01887), section 3 and
    algorithm 4: with momentum correction, momentum factor masking, local accumulation and warm-up.
    Differences: the warm-up counts the client's uploads instead of epochs, the largest values are
    found exactly and not by sampling, gradients are not clipped, and at least one value of each
    tensor is sent.

    Momentum correction (section 3.2) moves the training's own momentum into the accumulation. A
    server that takes plain steps, like `FedSGD`, has no momentum, and for this case the paper
    derives local accumulation alone: 0 is the default. With momentum m a delayed coordinate finally
    moves 1 / (1 - m) times as far, which needs a learning rate smaller by this factor; coordinates
    that are sent at once lose their momentum and then lag behind.

    With ``fraction = 0`` everything is sent at once and nothing is changed, for any momentum,
    because sent coordinates lose their momentum.
    """

    identity: ClassVar[Mapping[str, object] | None] = {"fraction": 0.0}

    fraction: Annotated[
        float,
        Field(
            ge=0,
            lt=1,
            examples=[0.5],
            description="share of each tensor's coordinates that is withheld for later",
        ),
    ]
    momentum: Annotated[
        float,
        Field(
            ge=0,
            lt=1,
            examples=[0.9],
            description="momentum of the training; 0 if the server takes plain steps",
        ),
    ] = 0.0
    warmup: Annotated[
        int,
        Field(
            ge=0,
            examples=[0],
            description="number of uploads over which the fraction rises from about 0.75",
        ),
    ] = 0

    def protect_upload(self, upload: Mapping[str, Tensor], generator: torch.Generator) -> Protected:
        """Compress a client's first upload; see `protect_next`."""
        return self.protect_next(upload, generator, {})

    def protect_next(
        self, upload: Mapping[str, Tensor], generator: torch.Generator, state: Mapping[str, Tensor]
    ) -> Protected:
        """Compress; reports ``kept_fraction``, the share of coordinates that are then not zero.

        Also reports ``withheld_norm``, the norm of the values kept for later uploads. The state
        holds the number of uploads, and for each tensor its momentum and its withheld values.
        """
        uploads = int(state.get("uploads", torch.zeros(())))
        fraction = self._fraction_of(uploads)
        tensors, kept = dict(upload), {"uploads": torch.tensor(float(uploads + 1))}
        for name, x in floating(upload).items():
            velocity = x + self.momentum * state.get(f"velocity.{name}", torch.zeros_like(x))
            waiting = velocity + state.get(f"waiting.{name}", torch.zeros_like(x))
            sent = _largest(waiting, fraction)
            tensors[name] = torch.where(sent, waiting, 0.0)
            kept[f"velocity.{name}"] = torch.where(sent, 0.0, velocity)
            kept[f"waiting.{name}"] = torch.where(sent, 0.0, waiting)
        withheld = [float(t.norm()) for name, t in kept.items() if name.startswith("waiting.")]
        norm = sum(n**2 for n in withheld) ** 0.5
        return Protected(tensors, did={**kept_fraction(tensors), "withheld_norm": norm}, state=kept)

    def _fraction_of(self, uploads: int) -> float:
        """Return the fraction withheld after the given number of uploads."""
        if uploads >= self.warmup:
            return self.fraction
        # As in the paper, the share that is sent falls exponentially: 25 %, 6.25 %, ...
        last = max(1 - self.fraction, torch.finfo(torch.float64).tiny)
        share: float = _FIRST_SHARE * (last / _FIRST_SHARE) ** (uploads / self.warmup)
        return 1 - max(share, last)


def _largest(x: Tensor, fraction: float) -> Tensor:
    """Return a mask of the sent values: all except the smallest ``fraction`` of them."""
    count = min(share_of(fraction, x.numel()), x.numel() - 1)
    if count <= 0:
        return torch.ones_like(x, dtype=torch.bool)
    smallest = x.abs().flatten().sort(stable=True).indices[:count]
    chosen = torch.ones(x.numel(), dtype=torch.bool, device=x.device)
    return chosen.index_fill(0, smallest, value=False).reshape(x.shape)
