"""A direction and a threshold that leave one example of a class alone."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

FOLDS = 5
"""Parts of the public examples, each of which is scored by a direction of the others."""

RIDGES = (1e-3, 1e-2, 1e-1)
"""Weights of the ridge that are compared, in units of the mean square of an example's features."""

BATCHES = 400
"""Public batches on which a threshold is chosen."""

STEPS = 60
"""Thresholds that are compared."""


@dataclass(frozen=True, eq=False)
class Direction:
    """A direction in the features of examples, and a threshold on it.

    Attributes:
        row: the direction ``(D,)``; scores of public examples have a standard deviation of 1.
        threshold: score, above which an example counts as one of the class.
        isolates: share of public batches in which exactly one example is on the wrong side.
    """

    row: Tensor
    threshold: float
    isolates: float


def best_direction(
    features: Tensor, ours: Tensor, batch_size: int, generator: torch.Generator
) -> Direction:
    """Return the direction with which most public batches have one example on the wrong side.

    The direction is a ridge regression of membership in the class, and the threshold is chosen on
    scores of examples that had no part in the regression.

    Args:
        features: of public examples ``(N, D)`` in double precision.
        ours: whether an example is of the class ``(N,)``.
        batch_size: examples of a batch.
        generator: source of the batches.
    """
    batches = torch.stack([torch.randperm(len(ours), generator=generator) for _ in range(BATCHES)])
    part = torch.arange(len(ours)) % FOLDS
    candidates: list[tuple[float, float, float]] = []
    for ridge in RIDGES:
        scores = torch.zeros(len(ours), dtype=torch.float64)
        for fold in range(FOLDS):
            row, middle = _regressed(features[part != fold], ours[part != fold], ridge)
            scores[part == fold] = features[part == fold] @ row - middle
        levels = torch.quantile(scores, torch.linspace(0, 1, STEPS, dtype=torch.float64))
        wrong = torch.where(ours, scores < levels[:, None], scores > levels[:, None])
        shares = _alone(wrong, batches[:, :batch_size])
        candidates.append((float(shares.max()), ridge, float(levels[shares.argmax()])))
    isolates, ridge, threshold = max(candidates)
    row, middle = _regressed(features, ours, ridge)
    return Direction(row, threshold + middle, isolates)


def once(strong: Tensor, batch_size: int, generator: torch.Generator) -> float:
    """Return the share of public batches with exactly one strong example.

    Args:
        strong: whether an example is ``(N,)``.
        batch_size: examples of a batch, drawn from all.
        generator: source of the batches.
    """
    batches = torch.stack(
        [torch.randperm(len(strong), generator=generator)[:batch_size] for _ in range(BATCHES)]
    )
    return float(_alone(strong[None], batches))


def _alone(strong: Tensor, batches: Tensor) -> Tensor:
    """Return the share of batches ``(B, size)`` with one strong example, per row ``(R, N)``."""
    return (strong[:, batches].sum(-1) == 1).double().mean(-1)


def _regressed(features: Tensor, ours: Tensor, ridge: float) -> tuple[Tensor, float]:
    """Return the direction ``(D,)`` of a ridge regression of the class, and the mean score.

    The scores of the given examples have a standard deviation of 1.
    """
    targets = ours.double() * 2 - 1
    centred = features - features.mean(0)
    products = centred @ centred.T
    products += ridge * products.diagonal().mean() * torch.eye(len(products)).to(products)
    row: Tensor = centred.T @ torch.linalg.solve(products, targets - targets.mean())
    row = row / (centred @ row).std()
    return row, float(features.mean(0) @ row)
