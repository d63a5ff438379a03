"""SPEAR: exact batches from a dense ReLU layer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated

import torch
import torch.nn.functional as F  # noqa: N812  (the name that everybody knows)
from pydantic import Field
from torch import Tensor, nn
from torch.func import vmap

from fedsim.attacks.closed.base import ClosedForm, Found, check_one_step
from fedsim.attacks.closed.dense import first_dense
from fedsim.attacks.functional import as_function, count_classes, parameters
from fedsim.attacks.types import Observation
from fedsim.core.derivatives import grad
from fedsim.core.errors import AttackError
from fedsim.core.registry import ATTACKS
from fedsim.core.seeds import derive

_DRAWN_AT_ONCE = 4096
_ZERO = 1e-4
"""Entries smaller than this fraction of the largest of their column count as zero."""
_POOL = 4
"""Number of directions kept for each example while some examples are missing."""
_AGREEMENT = 0.995
"""Minimum share of consistent activations for a batch to be accepted."""


@ATTACKS.register("spear")
class SPEAR(ClosedForm):
    """SPEAR: all examples of a batch, exactly, from a dense first layer followed by ReLU.

    Dimitrov, Baader, Müller, Vechev, NeurIPS 2024 (arXiv 2403.03945). The gradient of the
    layer's weights is ``A X`` with the examples as the rows of ``X`` and the loss's derivatives
    by the layer's outputs as the columns of ``A``. It has the rank of the batch size, so any
    factorisation ``L R`` gives ``A = L Q`` and ``X = Q⁻¹ R`` for one unknown small ``Q``. ReLU
    makes about half of each column of ``A`` zero: random rows of ``L`` at which one column is zero
    have that column of ``Q`` as their kernel (section 4). Its length follows from the bias's
    gradient.

    The number of draws grows like 2 to the batch size: batches of 8 take moments, batches of 20
    minutes. Differences from the paper: a direction is computed again from all of its zeros, which
    averages the upload's rounding; the sparsest directions are taken greedily, without a search
    over combinations; and labels are found by trying each class on each recovered example.
    """

    draws: Annotated[
        int, Field(ge=1, description="sets of rows drawn before a batch is given up")
    ] = 1_000_000

    def _at_once(self, model: nn.Module, observation: Observation) -> int:
        return 64

    def _solve(
        self, model: nn.Module, observations: Mapping[int, Observation], seed: int
    ) -> Mapping[int, Found | str]:
        first = next(iter(observations.values()))
        check_one_step(first, "SPEAR")
        if not first.is_classification:
            raise AttackError(
                "SPEAR tries the labels by the mean cross-entropy, and this observation has "
                "another loss; use 'dlg'"
            )
        name = first_dense(model, first.input_shape)
        found: dict[int, Found | str] = {}
        for i, observation in observations.items():
            generator = torch.Generator().manual_seed(derive(seed, "spear", i))
            try:
                found[i] = self._batch(model, name, observation, generator)
            except AttackError as error:
                found[i] = str(error)
        return found

    def _batch(
        self, model: nn.Module, name: str, observation: Observation, generator: torch.Generator
    ) -> Found:
        layer = model.get_submodule(name)
        assert isinstance(layer, nn.Linear)  # noqa: S101  (it was found to be one)
        weight, offset = layer.weight.detach().double().cpu(), layer.bias.detach().double().cpu()
        left, right = _factorise(observation.gradient[f"{name}.weight"], observation.batch_size)
        bias = observation.gradient[f"{name}.bias"].double().cpu()[:, None]

        def mixing(directions: Tensor) -> Tensor:
            """Return ``Q``: the directions, with lengths from the bias's gradient."""
            lengths: Tensor = torch.linalg.lstsq(left @ directions, bias).solution[:, 0]
            return directions * lengths

        def accept(directions: Tensor) -> bool:
            q = mixing(directions)
            return _agrees(weight, offset, torch.linalg.solve(q, right), left @ q)

        q = mixing(self._directions(left, generator, accept))
        data = torch.linalg.solve(q, right).view(-1, *observation.input_shape)
        data = data.to(next(model.parameters()))
        return data, _labels(model, name, data, left @ q)

    def _directions(
        self, left: Tensor, generator: torch.Generator, accept: Callable[[Tensor], bool]
    ) -> Tensor:
        """Return the directions of the columns of ``Q``, ``(b, b)``."""
        size = left.shape[1]
        if size == 1:
            return torch.ones(1, 1, dtype=left.dtype)
        live = left[left.norm(dim=1) > _ZERO * left.norm(dim=1).max()]
        pool = left.new_zeros((0, size))
        for _ in range(0, self.draws, _DRAWN_AT_ONCE):
            pool = _sparsest(torch.cat([pool, _kernels(live, generator)]), live)
            chosen = _independent(pool)
            if chosen is not None and accept(chosen.mT):
                return chosen.mT
        raise AttackError(
            f"the batch of {size} was not separated in {self.draws} draws: either "
            "no ReLU follows the dense layer, the upload is defended, or the batch is too large; "
            "raise 'draws' or use an attack that matches gradients"
        )


def _factorise(gradient: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Return ``L`` ``(m, b)`` and ``R`` ``(b, n)`` with ``L R`` the gradient."""
    if min(gradient.shape) < size + 1:
        raise AttackError(
            f"a layer of {gradient.shape[0]} neurons on {gradient.shape[1]} inputs cannot separate "
            f"a batch of {size}: both numbers must exceed the number of examples"
        )
    u, s, v = torch.linalg.svd(gradient.double().cpu(), full_matrices=False)
    if not s[size - 1] > 1e-6 * s[0]:
        raise AttackError(
            f"the gradient of the dense layer has a lower rank than the batch of {size}: examples "
            "are too similar, or have no influence on it"
        )
    return u[:, :size] * s[:size].sqrt(), s[:size].sqrt()[:, None] * v[:size]


def _kernels(live: Tensor, generator: torch.Generator) -> Tensor:
    """Return the directions ``(draws, b)`` orthogonal to random rows."""
    neurons, size = live.shape
    if neurons < size:
        return live[:0]
    rows = torch.rand((_DRAWN_AT_ONCE, neurons), generator=generator).topk(size - 1).indices
    kernels: Tensor = torch.linalg.qr(live[rows].mT, mode="complete").Q[:, :, -1]
    return kernels


def _zeros(left: Tensor, directions: Tensor) -> Tensor:
    """Return a mask of the zeros in the columns of ``A``, ``(c, m)``."""
    columns = (directions @ left.mT).abs()
    return columns <= _ZERO * columns.amax(1, keepdim=True)


def _sparsest(directions: Tensor, live: Tensor) -> Tensor:
    """Return the distinct directions with the most zeros, most first, refined."""
    size = live.shape[1]
    zeros = _zeros(live, directions)
    # Every direction has the zeros that it was drawn from; only additional zeros are evidence.
    meant = zeros.sum(1) > size
    directions, zeros = directions[meant], zeros[meant]
    kept: list[Tensor] = []
    while len(directions) and len(kept) < _POOL * size:
        best = int(zeros.sum(1).argmax())
        kept.append(_refined(live[zeros[best]]))
        # A mixture of two columns is zero where both are: a subset of the zeros of either, except
        # for those that it was drawn from.
        others = (zeros & ~zeros[best]).sum(1) > size
        directions, zeros = directions[others], zeros[others]
    if not kept:
        return directions
    refined = torch.stack(kept)
    return refined[_zeros(live, refined).sum(1).argsort(descending=True, stable=True)]


def _refined(rows: Tensor) -> Tensor:
    """Return the direction that is closest to orthogonal to all of these rows."""
    direction: Tensor = torch.linalg.svd(rows).Vh[-1]
    return direction


def _independent(pool: Tensor) -> Tensor | None:
    """Return the sparsest linearly independent directions ``(b, b)``; None if there are fewer.

    A mixture of columns of ``A`` has fewer zeros than any of them, so taking the sparsest first
    gives the columns themselves once all of them are in the pool.
    """
    size = pool.shape[1]
    chosen = pool[:0]
    for direction in pool:
        more = torch.cat([chosen, direction[None]])
        if torch.linalg.matrix_rank(more, rtol=1e-4) == len(more):
            chosen = more
        if len(chosen) == size:
            return chosen
    return None


def _agrees(weight: Tensor, bias: Tensor, data: Tensor, derivatives: Tensor) -> bool:
    """Return whether ReLU is active on the data as the derivatives require (section 4.3)."""
    active = data.flatten(1).to(weight) @ weight.T + bias > 0
    found = ~_zeros(derivatives, torch.eye(len(data), dtype=derivatives.dtype))
    return bool((active.cpu() == found).double().mean() > _AGREEMENT)


def _labels(model: nn.Module, name: str, data: Tensor, derivatives: Tensor) -> Tensor:
    """Return each example's label: the class that explains its derivatives.

    Args:
        model: the attacked model.
        name: name of its first dense layer.
        data: ``(b, *input_shape)``.
        derivatives: derivatives of the mean loss by that layer's outputs, ``(m, b)``.
    """
    forward, params = as_function(model), parameters(model)
    bias = f"{name}.bias"
    classes = torch.arange(count_classes(model, tuple(data.shape[1:])), device=data.device)

    def derivative(example: Tensor, label: Tensor) -> Tensor:
        def loss(own: Tensor) -> Tensor:
            return F.cross_entropy(forward({**params, bias: own}, example[None]), label[None])

        result: Tensor = grad(loss)(params[bias])
        return result

    tried = vmap(vmap(derivative, in_dims=(None, 0)), in_dims=(0, None))(data, classes)
    found = derivatives.mT.to(tried)[:, None] * len(data)
    nearest: Tensor = ((tried - found) ** 2).sum(-1).argmin(-1)
    return nearest
