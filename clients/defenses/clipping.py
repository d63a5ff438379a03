"""Clipping to a norm."""

import math
from collections.abc import Mapping
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from fedsim.clients.defenses.base import Defense, Protected
from fedsim.clients.defenses.tensors import floating, map_floating
from fedsim.clients.defenses.wire import full_bits
from fedsim.core.registry import DEFENSES

_LARGEST = 1e6


@DEFENSES.register("clipping")
class Clipping(Defense):
    """Scale the whole upload down to an L2 norm, if it is longer.

    All floating-point tensors together are one vector x, which becomes x * min(1, norm / |x|).
    Source: Abadi et al., Deep Learning with Differential Privacy, CCS 2016 (arXiv 1607.00133),
    section 3.1, for the gradient of each example; for a client's update, "flat clipping" in
    McMahan et al., ICLR 2018 (arXiv 1710.06963). Without noise after it, this is not differential
    privacy.
    """

    identity: ClassVar[Mapping[str, object] | None] = {"norm": 1e6}

    norm: Annotated[
        float,
        Field(gt=0, le=_LARGEST, examples=[1.0], description="largest L2 norm of the whole upload"),
    ]

    def protect_upload(self, upload: Mapping[str, Tensor], generator: torch.Generator) -> Protected:
        """Clip; reports ``norm_before`` and ``clipped_share``, 1 if it was clipped and else 0.

        An upload with a NaN or an infinity has no norm and becomes NaN throughout.
        """
        return clip(upload, self.norm)


@DEFENSES.register("layer-clipping")
class LayerClipping(Defense):
    """Scale each tensor down to an L2 norm, if it is longer.

    Source: McMahan et al., Learning Differentially Private Recurrent Language Models, ICLR 2018
    (arXiv 1710.06963), "per-layer clipping". In the paper each layer has its own
    bound; here all tensors have the same bound.
    """

    identity: ClassVar[Mapping[str, object] | None] = {"norm": 1e6}

    norm: Annotated[
        float,
        Field(gt=0, le=_LARGEST, examples=[0.3], description="largest L2 norm of each tensor"),
    ]

    def protect_upload(self, upload: Mapping[str, Tensor], generator: torch.Generator) -> Protected:
        """Clip; reports ``norm_before`` of the whole upload and ``clipped_share`` of the tensors.

        A tensor with a NaN or an infinity has no norm and becomes NaN throughout.
        """
        parts = {k: clip({k: x}, self.norm) for k, x in floating(upload).items()}
        tensors = {**upload, **{k: done.tensors[k] for k, done in parts.items()}}
        if not parts:
            return Protected(tensors)
        clipped = sum(done.did["clipped_share"] for done in parts.values())
        return Protected(
            tensors,
            value_bits=full_bits(upload) if clipped else None,
            did={"norm_before": norm_of(upload), "clipped_share": clipped / len(parts)},
        )


def clip(upload: Mapping[str, Tensor], norm: float) -> Protected:
    """Clip all floating-point tensors together; see `Clipping`."""
    if not floating(upload):
        return Protected(dict(upload))
    before = norm_of(upload)
    did = {"norm_before": before, "clipped_share": float(not before <= norm)}
    if before <= norm:
        return Protected(dict(upload), did=did)
    # Not only norm / before: an infinity would turn all finite values into zeros.
    factor = norm / before if before < float("inf") else float("nan")
    tensors = map_floating(upload, lambda x: (x.double() * factor).to(x.dtype))
    return Protected(tensors, value_bits=full_bits(upload), did=did)


def norm_of(upload: Mapping[str, Tensor]) -> float:
    """Return the L2 norm of all floating-point tensors together."""
    # In float64, where squares of float32 values neither overflow nor vanish.
    squares = [float(x.double().square().sum()) for x in floating(upload).values()]
    return math.sqrt(sum(squares))
