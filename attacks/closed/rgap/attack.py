"""R-GAP: recursive analytic attack."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from fedsim.attacks.closed.base import ClosedForm, Found, check_one_step
from fedsim.attacks.closed.dense import with_labels
from fedsim.attacks.closed.rgap.head import features_of
from fedsim.attacks.closed.rgap.joint import invert_jointly
from fedsim.attacks.closed.rgap.recursion import Known, Layer, invert, layers_of
from fedsim.attacks.labels.known import known_or_inferred
from fedsim.attacks.labels.scaled import unscaled
from fedsim.attacks.matching.memory import GB, free_bytes
from fedsim.attacks.types import Observation
from fedsim.core.checked import CodeOnly
from fedsim.core.errors import AttackError
from fedsim.core.registry import ATTACKS

_COPIES = 4
JOINTLY = 8
"""Most victims whose equations are solved together where they are not solved layer by layer."""


@ATTACKS.register("rgap")
class RGAP(ClosedForm):
    """R-GAP: one example, or a small batch, computed layer by layer, from the last to the first.

    Zhu and Blaschko, ICLR 2021 (arXiv 2010.07733). The derivative of the loss by the logits
    is the gradient of the last bias; from there each layer's input is the solution of linear
    equations (`fedsim.attacks.closed.rgap.recursion`). Supports sequences of dense layers,
    convolutions and invertible activations (ReLU where it is active), for one step and
    cross-entropy, and batches of fewer examples than classes.

    Differences from the paper: all victims are solved together, by conjugate gradients instead of
    one dense system each; the equations of the gradient have a larger weight than those of the
    layers behind, which carry the errors of the recursion; and the derivative by the logits is read
    off the bias, while the paper needs a loss of one logit. Batches and pruned gradients are not in
    the paper (`fedsim.attacks.closed.rgap.head`, `fedsim.attacks.closed.rgap.joint`).

    Attributes:
        floor: largest magnitude of a coordinate that may have been pruned, whose equation is left
            out; None if no coordinate was.
        scaled: whether a defense may have scaled the gradient of a batch, as clipping does, for
            which labels that are read off it need an estimate of the factor.
    """

    memory_gb: Annotated[
        float | None,
        Field(
            gt=0,
            description="memory for the victims solved together, in GB; by default the free memory",
        ),
    ] = None
    floor: CodeOnly[float | None] = None
    scaled: CodeOnly[bool] = False

    def _at_once(self, model: nn.Module, observation: Observation) -> int:
        device = next(model.parameters()).device
        budget = free_bytes(device) if self.memory_gb is None else self.memory_gb * GB
        try:
            layers = layers_of(model, observation.input_shape)
        except AttackError:
            return 1  # `_solve` says why
        numbers = observation.batch_size * max(_numbers(layer) for layer in layers)
        at_once = int(budget / (8 * numbers))
        # Between them it can be stopped, which takes seconds for each of these.
        jointly = self.floor is not None or observation.batch_size > 1
        return min(at_once, JOINTLY) if jointly else at_once

    def _solve(
        self, model: nn.Module, observations: Mapping[int, Observation], seed: int
    ) -> Mapping[int, Found | str]:
        first = next(iter(observations.values()))
        check_one_step(first, "R-GAP")
        layers = layers_of(model, first.input_shape)
        if self.floor is not None or first.batch_size > 1:
            return self._solve_jointly(model, layers, observations)
        data = invert(layers, _stacked(model, layers, observations))
        return {
            i: with_labels(model, observation, batch[None])
            for (i, observation), batch in zip(observations.items(), data, strict=True)
        }

    def _solve_jointly(
        self, model: nn.Module, layers: list[Layer], observations: Mapping[int, Observation]
    ) -> Mapping[int, Found | str]:
        """Return the batch behind each pruned gradient or batch, or the reason for its absence.

        Raises:
            AttackError: this attack does not apply to any of them.
        """
        first = next(iter(observations.values()))
        _check_batch(layers, first)
        found: dict[int, Found | str] = {}
        labels: dict[int, Tensor] = {}
        for i, observation in observations.items():
            try:
                seen = unscaled(model, observation) if self.scaled else observation
                labels[i] = known_or_inferred(model, seen)
            except AttackError as error:
                found[i] = str(error)
        if not labels:
            return found
        shared = _stacked(model, layers, {i: observations[i] for i in labels})
        gradient = {k: g.double() for k, g in shared.items()}
        floor = -1.0 if self.floor is None else self.floor
        kept = {k: (g.abs() > floor).double() for k, g in gradient.items()}
        rows = torch.stack(list(labels.values())).to(gradient[f"{layers[-1].name}.bias"].device)
        known, whole = features_of(layers[-1], gradient, kept, rows)
        found |= dict.fromkeys(
            labels,
            "the gradient of the last layer does not tell what enters it; use an attack that "
            "matches gradients",
        )
        if not whole.any():
            return found
        each = whole.repeat_interleave(first.batch_size)
        known = Known(known.features[each], known.delta[each], known.certain[each])
        gradient = {k: g[whole] for k, g in gradient.items()}
        data = invert_jointly(layers, known, gradient, {k: m[whole] for k, m in kept.items()})
        batches = iter(data.view(-1, first.batch_size, *data.shape[1:]))
        told = [i for i, tells in zip(labels, whole.tolist(), strict=True) if tells]
        return found | {i: (next(batches), labels[i]) for i in told}


def _check_batch(layers: list[Layer], observation: Observation) -> None:
    """Check that the last layer can tell the examples of a pruned gradient or a batch apart.

    Raises:
        AttackError: it cannot.
    """
    classes = layers[-1].leaving[-1]
    soft = observation.labels is not None and observation.labels.is_floating_point()
    if not observation.is_classification or soft:
        raise AttackError(
            "R-GAP on pruned gradients and on batches needs the cross-entropy of classes; use an "
            "attack that matches gradients"
        )
    most = min(classes - 1, math.prod(layers[-1].entering))
    if observation.batch_size > most:
        raise AttackError(
            f"R-GAP tells at most {most} examples apart, fewer than the classes and no more than "
            f"the features before them, but this is the gradient of {observation.batch_size} "
            "examples; use an attack that matches gradients"
        )


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
