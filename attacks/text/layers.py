"""The inputs of a transformer's attention layers, and the span of them that gradients show."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from fedsim.attacks.text.model import TextModel, as_module, own_copy
from fedsim.attacks.types import Observation
from fedsim.core.errors import AttackError

_AT_ONCE = 1 << 15
"""Number of tokens that pass through the model at once."""

_NOISE = 1e-6
"""Singular values below this share of the largest are rounding noise."""


class _Seen(Exception):  # noqa: N818  (not an error, but the end of a forward pass)
    """Raised to end a forward pass early."""


class AttentionInputs:
    """The inputs of the attention layers' projections.

    Args:
        model: the attacked model. Not modified.
    """

    def __init__(self, model: TextModel) -> None:
        self._own, self._module = own_copy(model)
        self._names = model.projections

    def of(self, tokens: Tensor, layer: int) -> Tensor:
        """Return the inputs of a layer's attention for texts ``(N, L)``, as ``(N, L, D)``."""
        return torch.cat(list(self._chunks(tokens, layer)))

    def _chunks(self, tokens: Tensor, layer: int) -> Iterator[Tensor]:
        seen: list[Tensor] = []

        def look(_module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            seen.append(inputs[0])
            raise _Seen

        handle = self._module.get_submodule(self._names[layer][0]).register_forward_pre_hook(look)
        try:
            size = max(1, _AT_ONCE // tokens.shape[1])
            for part in (tokens[n : n + size] for n in range(0, len(tokens), size)):
                with torch.no_grad():
                    try:
                        self._own(part)
                    except _Seen:
                        yield seen.pop()
        finally:
            handle.remove()


def span(model: TextModel, observation: Observation, layer: int, most: int) -> Tensor:
    """Return an orthonormal basis of the inputs of a layer's attention, ``(D, r)`` float64.

    The gradient of a projection's weight is a sum of outer products of its inputs with their
    output's gradients: its rows lie in the span of the inputs.

    Args:
        model: the attacked model.
        observation: the attacked observation.
        layer: index of the layer.
        most: maximum number of inputs.

    Raises:
        AttackError: the gradient was not shared, or is zero.
    """
    rows = []
    for name in model.projections[layer]:
        gradient = observation.gradient.get(f"{name}.weight")
        if gradient is None:
            raise AttackError(f"the gradient of '{name}.weight' was not shared")
        inputs_last = isinstance(as_module(model).get_submodule(name), nn.Linear)
        rows.append(gradient.double() if inputs_last else gradient.double().T)
    whole = torch.cat(rows)
    values, vectors = torch.linalg.eigh(whole.T @ whole)
    if values[-1] <= 0:
        raise AttackError("the gradient of the attention layers is zero: nothing to read")
    rank = min(most, int((values.clamp(min=0).sqrt() > _NOISE * values[-1].sqrt()).sum()))
    basis: Tensor = vectors[:, -max(1, rank) :]
    return basis


def mostly_outside(vectors: Tensor, basis: Tensor) -> Tensor:
    """Return `outside` in the vectors' own precision: fast, accurate to about 1e-3."""
    inside = (vectors @ basis.to(vectors)).square().sum(-1)
    away: Tensor = (1 - inside / vectors.square().sum(-1)).clamp(min=0).sqrt()
    return away


def outside(vectors: Tensor, basis: Tensor) -> Tensor:
    """Return the distance of vectors ``(..., D)`` from a span: 0 inside, 1 across it, ``(...)``."""
    exact = vectors.to(basis)
    residual = exact - exact @ basis @ basis.T
    away: Tensor = residual.norm(dim=-1) / exact.norm(dim=-1).clamp(min=1e-300)
    return away
