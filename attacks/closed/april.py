"""Closed form for vision transformers with a learnable position embedding."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from fedsim.attacks.closed.base import ClosedForm, Found, check_one_example
from fedsim.attacks.closed.dense import with_labels
from fedsim.attacks.closed.patches import Patches, find_patches, picture_of
from fedsim.attacks.types import Observation
from fedsim.core.registry import ATTACKS

_SMALLEST = 1e-7
"""Singular values below this share of the largest are rounding of single precision."""


@ATTACKS.register("april")
class April(ClosedForm):
    """APRIL: one picture from a vision transformer's position embedding and patch projection.

    A learnable position embedding is added to the embedded patches ``z``, so that for one example
    its gradient is ``dL/dz`` (Lu et al., CVPR 2022, arXiv 2112.14087). The patch projection
    ``z = W u + b`` has the gradient ``dL/dW = (dL/dz)ᵀ u``: linear equations for the patches ``u``,
    exact if ``dL/dz`` has as many independent rows as there are patches. Of a pre-norm transformer
    with a class token its rows sum to zero, so that a token needs more numbers than there are
    patches. Otherwise the answer is the solution closest to grey, and its objective shows that it
    is not exact; it is a start for a search (`fedsim.attacks.best`).

    Difference from the paper: its closed form takes the equations from the weights of the first
    attention layer, and therefore needs attention without a layer norm in front of it. The patch
    projection is in front of all blocks, so that nothing behind the position embedding matters.
    Position embedding and projection are found by what they do in a forward and a backward pass, by
    no names. What is in front of the projection may be any affine map: padding, normalisation,
    resizing.
    """

    def _at_once(self, model: nn.Module, observation: Observation) -> int:
        return 64

    def _solve(
        self, model: nn.Module, observations: Mapping[int, Observation], seed: int
    ) -> Mapping[int, Found | str]:
        first = next(iter(observations.values()))
        check_one_example(first, "APRIL")
        patches = find_patches(model, first.input_shape)
        grey = first.scale.on(next(model.parameters()))
        start = grey.to_input(torch.full(first.input_shape, 0.5).to(grey.low))
        found: dict[int, Found | str] = {}
        for i, observation in observations.items():
            rows = _patches(patches, observation, patches.of(start))
            if isinstance(rows, str):
                found[i] = rows
                continue
            data = picture_of(patches, rows, start)
            found[i] = with_labels(model, observation, data[None])
        return found


def _patches(patches: Patches, observation: Observation, start: Tensor) -> Tensor | str:
    """Return the solution ``(T, D)`` closest to ``start``, or the reason why there is none."""
    derivative = patches.derivative(observation.gradient).double().cpu()
    weight = patches.weight_gradient(observation.gradient).double().cpu()
    if not bool(derivative.any()):
        return f"the gradient of '{patches.position}' is zero everywhere: nothing to divide by"
    start = start.double().cpu()
    inverse = torch.linalg.pinv(derivative.mT, rtol=_SMALLEST)
    rows: Tensor = start + inverse @ (weight - derivative.mT @ start)
    return rows
