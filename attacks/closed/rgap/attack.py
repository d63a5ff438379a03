"""R-GAP: recursive analytic attack."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from fedsim.attacks.closed.base import ClosedForm, Found, check_one_example
from fedsim.attacks.closed.dense import with_labels
from fedsim.attacks.closed.rgap.recursion import Known, Layer, invert, layers_of
from fedsim.attacks.closed.rgap.survivors import features_of, invert_survivors
from fedsim.attacks.labels.known import known_or_inferred
from fedsim.attacks.matching.memory import GB, free_bytes
from fedsim.attacks.types import Observation
from fedsim.core.checked import CodeOnly
from fedsim.core.errors import AttackError
from fedsim.core.registry import ATTACKS

_COPIES = 4


@ATTACKS.register("rgap")
class RGAP(ClosedForm):
    """R-GAP: one example computed layer by layer, from the last to the first.

    Zhu and Blaschko, ICLR 2021 (arXiv 2010.07733). The derivative of the loss by the logits
    is the gradient of the last bias; from there each layer's input is the solution of linear
    equations (`fedsim.attacks.closed.rgap.recursion`). Supports sequences of dense layers,
    convolutions and invertible activations (ReLU where it is active), for one example, one step and
    cross-entropy.

    Differences from the paper: all victims are solved together, by conjugate gradients instead of
    one dense system each; the equations of the gradient have a larger weight than those of the
    layers behind, which carry the errors of the recursion; and the derivative by the logits is read
    off the bias, while the paper needs a loss of one logit. Pruned gradients are not in the paper
    (`fedsim.attacks.closed.rgap.survivors`).

    Attributes:
        floor: largest magnitude of a coordinate that may have been pruned, whose equation is left
            out; None if no coordinate was.
    """

    memory_gb: Annotated[
        float | None,
        Field(
            gt=0,
            description="memory for the victims solved together, in GB; by default the free memory",
        ),
    ] = None
    floor: CodeOnly[float | None] = None

    def _at_once(self, model: nn.Module, observation: Observation) -> int:
        device = next(model.parameters()).device
        budget = free_bytes(device) if self.memory_gb is None else self.memory_gb * GB
        try:
            layers = layers_of(model, observation.input_shape)
        except AttackError:
            return 1  # `_solve` says why
        return int(budget / (8 * max(_numbers(layer) for layer in layers)))

    def _solve(
        self, model: nn.Module, observations: Mapping[int, Observation], seed: int
    ) -> Mapping[int, Found | str]:
        first = next(iter(observations.values()))
        check_one_example(first, "R-GAP")
        layers = layers_of(model, first.input_shape)
        if self.floor is not None:
            return self._solve_pruned(model, layers, observations, self.floor)
        data = invert(layers, _stacked(model, layers, observations))
        return {
            i: with_labels(model, observation, batch[None])
            for (i, observation), batch in zip(observations.items(), data, strict=True)
        }

    def _solve_pruned(
        self,
        model: nn.Module,
        layers: list[Layer],
        observations: Mapping[int, Observation],
        floor: float,
    ) -> Mapping[int, Found | str]:
        """Return the batches behind pruned gradients, or the reasons why there are none.

        Raises:
            AttackError: the loss is not the cross-entropy of classes.
        """
        if not next(iter(observations.values())).is_classification:
            raise AttackError(
                "R-GAP on pruned gradients needs the cross-entropy of classes; use an attack that "
                "matches gradients"
            )
        found: dict[int, Found | str] = {}
        labels = {}
        for i, observation in observations.items():
            try:
                labels[i] = known_or_inferred(model, observation)
            except AttackError as error:
                found[i] = str(error)
        if not labels:
            return found
        seen = _stacked(model, layers, {i: observations[i] for i in labels})
        gradient = {k: g.double() for k, g in seen.items()}
        kept = {k: (g.abs() > floor).double() for k, g in gradient.items()}
        stacked = torch.cat(list(labels.values())).to(next(iter(gradient.values())).device)
        known, whole = features_of(layers[-1], gradient, kept, stacked)
        found |= dict.fromkeys(labels, "too little of the last layer's gradient has survived")
        if whole.any():
            known = Known(known.features[whole], known.delta[whole], known.certain[whole])
            gradient = {k: g[whole] for k, g in gradient.items()}
            kept = {k: each[whole] for k, each in kept.items()}
            solvable = [i for i, solvable in zip(labels, whole.tolist(), strict=True) if solvable]
            data = invert_survivors(layers, known, gradient, kept)
            found |= {i: (x[None], labels[i]) for i, x in zip(solvable, data, strict=True)}
        return found


def _stacked(
    model: nn.Module, layers: list[Layer], observations: Mapping[int, Observation]
) -> dict[str, Tensor]:
    """Return the gradients of all victims by name, ``(V, ...)``."""
    device = next(model.parameters()).device
    return {
        k: torch.stack([o.gradient[k].to(device) for o in observations.values()])
        for k in _trained(layers)
    }


def _trained(layers: list[Layer]) -> list[str]:
    """Return the names of the required gradients.

    Raises:
        AttackError: a layer is frozen, so its gradient is not shared.
    """
    names = []
    for layer in layers:
        for name, parameter in layer.module.named_parameters():
            if not parameter.requires_grad:
                raise AttackError(
                    f"the gradient of {layer.name}.{name} is not shared, since the layer is "
                    "frozen; use an attack that matches gradients"
                )
            names.append(f"{layer.name}.{name}")
    return names


def _numbers(layer: Layer) -> int:
    """Return the count of numbers in the equations of one victim."""
    numbers = math.prod(layer.entering) + math.prod(layer.leaving)
    if isinstance(layer.module, nn.Conv2d):
        _, height, width = layer.entering
        outputs, kernel = layer.leaving[0], math.prod(layer.module.kernel_size)
        equations, unknowns = outputs * kernel, height * width
        numbers += 3 * equations * unknowns + min(equations, unknowns) ** 2
    return _COPIES * numbers
