"""Trap weights in a dense layer of the model."""

from __future__ import annotations

from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from fedsim.attacks.closed.dense import first_dense
from fedsim.attacks.closed.front import Front, entering, front_of
from fedsim.core.errors import AttackError, RunError
from fedsim.core.registry import MANIPULATIONS
from fedsim.server.malicious.base import Changed, Manipulation, Public, share_alone
from fedsim.server.malicious.decoys import TUNED
from fedsim.server.malicious.passing import pass_on
from fedsim.server.malicious.silence import check_silence

SCALES = tuple(round(0.99 - 0.01 * step, 2) for step in range(40))
"""Scales among which public data choose: 0.99 to 0.6."""

UNJUDGED = 0.35
"""Largest share of a batch that tuned trap weights isolate on public data, so that the check of
single examples, which suspects from half of a batch on, stays silent."""


@MANIPULATIONS.register("trap-weights")
class TrapWeights(Manipulation):
    """Trap weights: rows of the first dense layer that few examples activate, shape unchanged.

    Boenisch et al., When the Curious Abandon Honesty (arXiv 2112.02918): in each row a random half
    of the weights is negative, the other half positive and smaller by a factor, so that most
    examples give a negative sum, which ReLU turns into a gradient of zero. A row that one example
    of a batch activates alone tells this example exactly. Here the factor is chosen on public data,
    for the clients' batch size; the biases are zero, and the rows have the size of the honest ones.

    Convolutions in front of the dense layer pass the picture on, each filter with one weight of 1.
    The paper's abstract claims convolutional networks too; its section on them could not be read,
    so that this construction is our own.
    Behind a stride, or average pooling, several filters pass on shifted copies of a channel, so
    that rows of the dense layer and the read-out can undo the averages. Where the filters are too
    few, pictures come out averaged. Max pooling, BatchNorm, dropout, and activations other than
    ReLU in front of the layer are refused.

    A ``tuned`` server draws the positive numbers independently of the negative ones, isolates less
    than half of a batch, and has small numbers in place of the convolutions' zeros.
    """

    readout: ClassVar[str] = "dense-rows"

    scale: Annotated[
        float | None,
        Field(
            gt=0,
            le=1,
            examples=[0.9],
            description="positive weights in units of the negative ones; by default the scale "
            "that isolates most of the public pictures",
        ),
    ] = None
    tuned: Annotated[bool, Field(description=TUNED)] = False

    def change(self, model: nn.Module, public: Public, generator: torch.Generator) -> Changed:
        """Return the model with trap weights in its first dense layer.

        Raises:
            RunError: no dense layer takes the picture, or no ReLU follows it.
        """
        front, passing = _reached(model, public.inputs, generator if self.tuned else None)
        layer = model.get_submodule(front.layer)
        pictures = front.pictures(entering(model, front.layer, public.inputs).double()).flatten(1)
        seed = int(torch.randint(2**31, (), generator=generator))
        rows = layer.get_parameter("bias").numel()
        negative, positive = trap_rows(rows, pictures.shape[1], generator)
        if self.tuned:
            positive = _drawn_again(positive, generator)
        below, above = pictures @ negative.T, pictures @ positive.T
        size = public.batch_size
        shares = [
            (share_alone(s * above > below, size, torch.Generator().manual_seed(seed)), s)
            for s in (SCALES if self.scale is None else (self.scale,))
        ]
        quiet = [found for found in shares if not self.tuned or found[0] <= UNJUDGED]
        expected, scale = max(quiet) if quiet else min(shares)
        _set_rows(layer, *front.rows(scale * positive - negative))
        check_silence(model, front.layer, public.inputs[:8], "trap weights")
        what = f"set the weights of '{front.layer}' so that few examples activate a row"
        constants = {"scale": scale}
        if passing:
            what += ", and the convolutions in front of it so that they pass pictures on"
            constants["passed"] = front.passed
        changed = (*passing, f"{front.layer}.weight", f"{front.layer}.bias")
        return Changed(model, what, changed, expected, constants)


def _reached(
    model: nn.Module, inputs: Tensor, generator: torch.Generator | None
) -> tuple[Front, list[str]]:
    """Return the dense layer that the picture reaches, and the tensors changed to that end.

    Args:
        model: the model, whose convolutions are modified if the picture itself enters no layer.
        inputs: public pictures, as the model takes them.
        generator: source of small numbers in place of the convolutions' zeros, or None.

    Raises:
        RunError: the picture reaches no dense layer.
    """
    shape = tuple(inputs.shape[1:])
    try:
        return Front(first_dense(model, shape), shape), []
    except AttackError:
        passing = pass_on(model, inputs, generator)
    low, high = (x.expand(shape) for x in inputs.aminmax())
    try:
        return front_of(model, low, high), passing
    except AttackError as error:
        raise RunError(
            "adversary.malicious: trap weights need a dense layer that the picture reaches, "
            f"through ReLU and average pooling at most: {error}"
        ) from None


def _set_rows(layer: nn.Module, rows: Tensor, bias: Tensor) -> None:
    """Set a dense layer's weights, in the size of the honest ones, and its biases."""
    weight = layer.get_parameter("weight")
    size = (weight.double().square().mean() / rows.square().mean()).sqrt()
    with torch.no_grad():
        weight.copy_(rows * size)
        layer.get_parameter("bias").copy_(bias * size)


def _drawn_again(sizes: Tensor, generator: torch.Generator) -> Tensor:
    """Return new random magnitudes in the same places."""
    drawn = torch.randn(sizes.shape, generator=generator, dtype=sizes.dtype).abs()
    return drawn * (sizes > 0)


def trap_rows(rows: int, columns: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return the magnitudes of the negative and of the positive weights, each ``(rows, columns)``.

    They are the same numbers in different, random columns of a row.
    """
    half = columns // 2
    order = torch.rand(rows, columns, generator=generator, dtype=torch.float64).argsort(1)
    sizes = torch.randn(rows, half, generator=generator, dtype=torch.float64).abs()
    nothing = torch.zeros(rows, columns, dtype=torch.float64)
    negative = nothing.scatter(1, order[:, :half], sizes)
    return negative, nothing.scatter(1, order[:, half : 2 * half], sizes)
