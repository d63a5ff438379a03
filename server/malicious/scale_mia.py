"""Bins in a dense layer behind convolutions."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from fedsim.attacks.closed.front import entered_layer, entering
from fedsim.core.errors import RunError
from fedsim.core.modules import probing
from fedsim.core.registry import MANIPULATIONS
from fedsim.server.malicious.base import Changed, Manipulation, Public
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
    """

    readout: ClassVar[str] = "dense-bins"

    def change(self, model: nn.Module, public: Public, generator: torch.Generator) -> Changed:
        """Return the model with bins in its first dense layer.

        Raises:
            RunError: no dense layer takes the features, no dense layer follows it, or no ReLU is
                between them.
        """
        name, behind = _two_layers(model, public.inputs)
        layer, following = model.get_submodule(name), model.get_submodule(behind)
        bias, weight = layer.get_parameter("bias"), layer.get_parameter("weight")
        limits = brightness_limits(entering(model, name, public.inputs), len(bias))
        outputs = following.get_parameter("weight")
        columns = torch.randn(len(outputs), 1, generator=generator)
        with torch.no_grad():
            weight.fill_(1 / weight.shape[1] / len(bias))
            bias.copy_(-limits / len(bias))
            outputs.copy_(columns.expand_as(outputs))
        check_silence(model, name, public.inputs[:8], "bins of features")
        return Changed(
            model,
            f"made '{name}' sort the features of pictures into {len(bias)} bins",
            (f"{name}.weight", f"{name}.bias", f"{behind}.weight"),
            alone_in_theory(public.batch_size, len(bias)),
        )


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
