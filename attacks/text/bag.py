"""Tokens of a batch from the gradient of the word embeddings."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from fedsim.attacks.text.model import TextModel
from fedsim.attacks.types import Observation
from fedsim.core.tasks import Task

_ITERATIONS = 4

_LEVERAGE = 0.5
"""Minimum leverage of a row for its direction to count as unique."""


@dataclass(frozen=True)
class Bag:
    """Tokens and inputs of a batch that the gradient of the word embeddings gives away.

    Attributes:
        tokens: those that are in it, as inputs or labels, without special ones.
        inputs: those that are in it as inputs, special ones too, the most prominent first.
        rows: ``(V, D)`` float64, the gradient as far as it comes from the inputs.
        taken: ``(D, r)``, an orthonormal basis of the directions that were taken out.
    """

    tokens: frozenset[int]
    inputs: tuple[int, ...]
    rows: Tensor
    taken: Tensor


def bag_of_tokens(model: TextModel, observation: Observation) -> Bag | None:
    """Return the tokens of a batch, read off the token embedding's gradient.

    A lookup has a gradient only in the looked-up rows. If the table is also the output layer (tied
    weights), each prediction adds a multiple of one feature vector to all rows. This part has low
    rank, and is common to all rows except the few of the batch's own tokens: its directions are
    estimated from the many faint rows and removed. The remaining rows stand out by orders of
    magnitude; noise, if any, determines the threshold.

    Args:
        model: the attacked model.
        observation: the attacked observation.

    Returns:
        The bag, or None if the gradient is missing or belongs to several steps.
    """
    gradient = observation.gradient.get(model.table_name)
    if gradient is None or observation.training is not None:
        return None
    rows = gradient.detach().double()
    labels: set[int] = set()
    taken = rows.new_zeros((rows.shape[1], 0))
    if model.task is not Task.CLASSIFY:
        taken = _output_layer(rows, most=min(rows.shape[1] // 2, 256))
        rows = rows - rows @ taken @ taken.T
        bias = None if model.bias_name is None else observation.gradient.get(model.bias_name)
        if bias is not None:
            labels = set(_outliers(-bias.double().clamp(max=0)))
    sizes = rows.norm(dim=1)
    inputs = sorted(_outliers(sizes), key=lambda t: -float(sizes[t]))
    present = (t for t in labels.union(inputs) if not model.is_special(t))
    return Bag(frozenset(present), tuple(inputs), rows, taken)


def in_order(
    model: TextModel, observation: Observation, bag: Bag, frame: Tensor
) -> tuple[Tensor, float] | None:
    """Return the inputs of a single text in order, or None if no order is given away.

    Args:
        model: the attacked model.
        observation: what is attacked.
        bag: its tokens.
        frame: ``(1, L)``, the tokens that are known, else -1.

    Returns:
        The tokens ``(1, L)``, and the share of the tokens' rows that they leave unexplained, as
        ``|difference| / |rows|``: rounding, if the order is right. 1 or more if some position has
        no gradient.
    """
    name = model.position_name
    positions = None if name is None else observation.gradient.get(name)
    if positions is None or observation.batch_size > 1 or not bag.inputs:
        return None
    at = positions[: frame.shape[1]].double()
    at = at - at @ bag.taken @ bag.taken.T
    inputs = torch.tensor(bag.inputs, device=frame.device)
    rows, known = bag.rows[inputs], frame[0] >= 0
    # The known positions are taken out first. A last position that predicts nothing has no
    # gradient, so that what an equation says about it is rounding.
    stands = (inputs[:, None] == frame).double()
    free, left = at[~known], rows - stands @ at
    # Rows of tokens are sums of rows of positions: find the weights.
    sizes = free.norm(dim=1, keepdim=True).clamp(min=torch.finfo(free.dtype).tiny)
    weights = torch.linalg.lstsq((free / sizes).T, left.T).solution / sizes
    if not bool(torch.isfinite(weights).all()):
        return None
    tokens = frame.clone()
    tokens[0, ~known] = inputs[weights.argmax(1)]
    unexplained = float((rows - (inputs[:, None] == tokens).double() @ at).norm() / rows.norm())
    return tokens, unexplained if bool((weights.amax(1) > 0).all()) else max(1.0, unexplained)


def _output_layer(rows: Tensor, most: int) -> Tensor:
    """Return a basis ``(D, r)`` of the common part of the many faint rows."""
    norms = rows.norm(dim=1)
    basis = rows.new_zeros((rows.shape[1], 0))
    for _ in range(_ITERATIONS):
        faint = norms <= norms.median()
        found = _directions(rows[faint])
        if found.shape[1] > most:  # noise fills all directions: there is nothing to remove
            return basis
        basis = found
        norms = (rows - rows @ basis @ basis.T).norm(dim=1)
    return basis


def _directions(rows: Tensor) -> Tensor:
    """Return a basis ``(D, r)`` of the directions that several rows have.

    A batch's own token may be faint too. It is the only row in its direction, as its leverage
    shows, and is left out: it would be taken out with the others, and never stand out again.
    """
    scaled = rows / rows.norm(dim=1, keepdim=True).clamp(min=1e-300)
    vectors: Tensor
    for _ in range(_ITERATIONS):
        values, vectors = torch.linalg.eigh(scaled.T @ scaled)
        above = values > 1e-8 * values[-1]
        values, vectors = values[above], vectors[:, above]
        alone = (scaled @ vectors).square().div(values).sum(1) > _LEVERAGE
        if not bool(alone.any()) or len(values) > len(scaled) // 2:
            break
        scaled = scaled[~alone]
    return vectors


def _outliers(sizes: Tensor) -> list[int]:
    """Return the indices of the sizes that are far above the typical one."""
    typical = sizes.median()
    spread = (sizes - typical).abs().median()
    bar = torch.maximum(typical + 12 * spread, 1e-5 * sizes.max())
    found: list[int] = (sizes > bar).nonzero().flatten().tolist()
    return found
