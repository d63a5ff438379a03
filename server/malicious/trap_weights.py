"""Trap weights in a dense layer of the model."""

from __future__ import annotations

from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from fedsim.attacks.closed.dense import first_dense
from fedsim.core.errors import AttackError, RunError
from fedsim.core.registry import MANIPULATIONS
from fedsim.server.malicious.base import Changed, Manipulation, Public, share_alone

SCALES = tuple(round(0.99 - 0.01 * step, 2) for step in range(40))
"""Scales among which public data choose: 0.99 to 0.6."""


@MANIPULATIONS.register("trap-weights")
class TrapWeights(Manipulation):
    """Trap weights: rows of the first dense layer that few examples activate, shape unchanged.

    Boenisch et al., When the Curious Abandon Honesty (arXiv 2112.02918): in each row a random half
    of the weights is negative, the other half positive and smaller by a factor, so that most
    examples give a negative sum, which ReLU turns into a gradient of zero. A row that one example
    of a batch activates alone tells this example exactly. Here the factor is chosen on public data,
    for the clients' batch size; the biases are zero, and the rows have the size of the honest ones.
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

    def change(self, model: nn.Module, public: Public, generator: torch.Generator) -> Changed:
        """Return the model with trap weights in its first dense layer.

        Raises:
            RunError: no dense layer takes the picture, or no ReLU follows it.
        """
        shape = tuple(public.inputs.shape[1:])
        try:
            name = first_dense(model, shape)
        except AttackError as error:
            raise RunError(
                f"adversary.malicious: trap weights need a dense layer: {error}"
            ) from None
        layer = model.get_submodule(name)
        weight, bias = layer.get_parameter("weight"), layer.get_parameter("bias")
        rows, columns = weight.shape
        negative, positive = trap_rows(rows, columns, generator)
        entered = public.inputs.flatten(1).double()
        below, above = entered @ negative.T, entered @ positive.T
        scales = SCALES if self.scale is None else (self.scale,)
        size, seed = public.batch_size, int(torch.randint(2**31, (), generator=generator))
        expected, scale = max(
            (share_alone(s * above > below, size, torch.Generator().manual_seed(seed)), s)
            for s in scales
        )
        trap = scale * positive - negative
        with torch.no_grad():
            weight.copy_(trap * (weight.double().square().mean() / trap.square().mean()).sqrt())
            bias.zero_()
        _check_silence(model, name, public.inputs[:8])
        return Changed(
            model,
            f"set the weights of '{name}' so that few examples activate a row",
            (f"{name}.weight", f"{name}.bias"),
            expected,
            {"scale": scale},
        )


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


def _check_silence(model: nn.Module, name: str, inputs: Tensor) -> None:
    """Check that a row with a negative sum has no gradient."""
    sums: list[Tensor] = []
    layer = model.get_submodule(name)
    hook = layer.register_forward_hook(lambda module, given, output: sums.append(output))
    try:
        outputs = model(inputs)
    finally:
        hook.remove()
    [gradient] = torch.autograd.grad(outputs.square().sum(), sums)
    if bool(gradient[sums[0] < 0].any()):
        raise RunError(
            f"adversary.malicious: trap weights need a ReLU behind '{name}', whose gradient is "
            "zero for a negative sum; choose such a model, as { name = 'mlp', activation = 'relu' }"
        )
