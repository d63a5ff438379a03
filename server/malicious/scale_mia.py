"""Bins in a dense layer behind convolutions."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from fedsim.attacks.closed.front import entered_layer, entering
from fedsim.core.errors import RunError
from fedsim.core.modules import probing
from fedsim.core.registry import MANIPULATIONS
from fedsim.server.malicious.base import Changed, Manipulation, Public
from fedsim.server.malicious.decoys import TUNED, rows_of_bins
from fedsim.server.malicious.imprint import alone_in_theory, brightness_limits
from fedsim.server.malicious.silence import check_silence


@MANIPULATIONS.register("scale-mia")
class ScaleMIA(Manipulation):
    """Linear leakage of Scale-MIA: a dense layer behind convolutions sorts features into bins.

    Shi et al., Scale-MIA (arXiv 2311.05808): the rows of the dense layer measure the mean of the
    features, and its biases are quantiles of it, so that the difference of two neighbouring rows'
    gradients holds the features of the pictures between them; the layer behind has equal columns.
    Shapes stay, and the sum of several clients' gradients is read as one.

    The authors train the convolutions together with a decoder on data like the clients', and take
    the quantiles of a normal distribution. Here the convolutions stay honest, the quantiles are
    those of public pictures, and the read-out finds the picture behind the features by a search
    through the known convolutions, from a linear decoder of public pictures. The dense layer is
    small and the next one large, so that gradients stand out from the rounding of a secure sum.

    A ``tuned`` server leaves the greater part of the units honest and gives the others weights of
    their size, so that neither the rows nor the columns of a matrix are multiples for the most
    part.
    """

    readout: ClassVar[str] = "dense-bins"

    tuned: Annotated[bool, Field(description=TUNED)] = False

    def change(self, model: nn.Module, public: Public, generator: torch.Generator) -> Changed:
        """Return the model with bins in its first dense layer.

        Raises:
            RunError: no dense layer takes the features, no dense layer follows it, or no ReLU is
                between them.
        """
        name, behind = _two_layers(model, public.inputs)
        layer, following = model.get_submodule(name), model.get_submodule(behind)
        bias, weight = layer.get_parameter("bias"), layer.get_parameter("weight")
        own = rows_of_bins(len(bias), generator, tuned=self.tuned)
        limits = brightness_limits(entering(model, name, public.inputs), len(own))
        outputs = following.get_parameter("weight")
        columns = torch.randn(len(outputs), 1, generator=generator)
        size = 1 / len(bias)
        with torch.no_grad():
            if self.tuned:
                columns *= outputs.square().mean().sqrt()
                size = float(weight.norm(dim=1).median()) * weight.shape[1] ** 0.5
            weight[own] = size / weight.shape[1]
            bias[own] = (-limits * size).to(bias)
            outputs[:, own] = columns.expand(-1, len(own))
        check_silence(model, name, public.inputs[:8], "bins of features")
        what = f"made '{name}' sort the features of pictures into {len(own)} bins"
        if self.tuned:
            what += f", hidden among {len(bias) - len(own)} honest units"
        changed = (f"{name}.weight", f"{name}.bias", f"{behind}.weight")
        return Changed(model, what, changed, alone_in_theory(public.batch_size, len(own)))


def _two_layers(model: nn.Module, inputs: Tensor) -> tuple[str, str]:
    """Return the names of the first dense layer and of the next one."""
    names = {module: name for name, module in model.named_modules()}
    seen: list[str] = []

    def look(module: nn.Module, given: tuple[Any, ...], output: object) -> None:
        if isinstance(module, nn.Linear):
            seen.append(names[module])

    with probing(model, look):
        model(inputs[:1])
    if entered_layer(model, inputs[0]) is None or len(seen) < 2:
        raise RunError(
            "adversary.malicious: bins of features need two dense layers, the first of which takes "
            "one row of features; choose such a model, as { name = 'convnet', hidden = [256], "
            "activation = 'relu' }"
        )
    return seen[0], seen[1]
