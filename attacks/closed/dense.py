"""Closed form for a dense first layer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from fedsim.attacks.closed.base import ClosedForm, Found, check_one_example
from fedsim.attacks.labels.known import known_or_inferred
from fedsim.attacks.labels.targets import solved_target
from fedsim.attacks.types import Observation
from fedsim.core.errors import AttackError
from fedsim.core.modules import probing
from fedsim.core.registry import ATTACKS


@ATTACKS.register("dense")
class DenseInversion(ClosedForm):
    """Dense inversion: one example divided out of a dense first layer's gradient.

    For ``z = W x + b`` and one example, ``dL/dW = (dL/dz) xᵀ`` and ``dL/db = dL/dz``, so that any
    row of the first divided by its entry of the second is ``x`` (Phong et al. 2017, IEEE TIFS
    13(5), section 3; Geiping et al., NeurIPS 2020, proposition 3.1). Unlike these papers we do not
    choose a row: all rows are combined by least squares, ``x = dWᵀ db / ‖db‖²``, which is robust to
    small and zero entries and averages noise. The layers after it do not matter.
    """

    def _at_once(self, model: nn.Module, observation: Observation) -> int:
        return 64

    def _solve(
        self, model: nn.Module, observations: Mapping[int, Observation], seed: int
    ) -> Mapping[int, Found | str]:
        first = next(iter(observations.values()))
        instead = "'spear', or an attack that matches gradients"
        check_one_example(first, "the dense closed form", instead)
        name = first_dense(model, first.input_shape)
        found: dict[int, Found | str] = {}
        for i, observation in observations.items():
            outer = observation.gradient[f"{name}.weight"].double()
            delta = observation.gradient[f"{name}.bias"].double()
            size = delta @ delta
            if size == 0:
                found[i] = f"the gradient of '{name}.bias' is zero everywhere: nothing to divide by"
                continue
            data = (delta @ outer / size).view(1, *observation.input_shape)
            found[i] = with_labels(model, observation, data)
        return found


def with_labels(model: nn.Module, observation: Observation, data: Tensor) -> Found | str:
    """Return data with their known or inferred labels, or the reason why there are none."""
    classes = observation.is_classification or observation.has_classes
    if observation.labels is None and not classes:
        target = solved_target(model, observation, data)
        if target is not None:
            return data, target
    try:
        return data, known_or_inferred(model, observation)
    except AttackError as error:
        return str(error)


def first_dense(model: nn.Module, input_shape: tuple[int, ...]) -> str:
    """Return the name of the dense layer whose input is the flattened example.

    Raises:
        AttackError: there is no such layer, it has no bias, or it is frozen.
    """
    probe = torch.rand((1, *input_shape), generator=torch.Generator().manual_seed(0))
    parameter = next(model.parameters())
    probe = probe.to(parameter)
    seen: list[tuple[nn.Linear, Tensor]] = []

    def look(module: nn.Module, inputs: tuple[Any, ...], _output: object) -> None:
        if isinstance(module, nn.Linear):
            seen.append((module, inputs[0]))

    with probing(model, look):
        model(probe)
    if seen and seen[0][1].numel() == probe.numel():
        layer, entered = seen[0]
        plain = torch.equal(entered.flatten(), probe.flatten())
        if plain and layer.bias is not None and layer.weight.requires_grad:
            names: dict[nn.Module, str] = {module: name for name, module in model.named_modules()}
            return names[layer]
    raise AttackError(
        "no dense layer with bias takes the unchanged input, which the closed form needs; use "
        "'rgap', or an attack that matches gradients"
    )
