"""Rank test for the labels of one local step."""

from __future__ import annotations

import math

import torch
from torch import Tensor


class RankJudge:
    """The distance of the residual after a step from the rank that it must have.

    B sequences of labels are tested at once, on L classes and D features.

    Args:
        residual: what the steps before have left of the gradient, ``(B, L, D)``.
        left: how often each class may still come, ``(B, L)``.
        probabilities: ``(B, L)``.
        features: ``(B, D)``.
        again: count of each class among the step's examples that were used before, ``(B, L)``.
        to_come: number of steps after this one.
        new: number of the step's other examples.
    """

    def __init__(
        self,
        residual: Tensor,
        left: Tensor,
        probabilities: Tensor,
        features: Tensor,
        again: Tensor,
        to_come: int,
        new: int,
    ) -> None:
        residual, features = residual.double(), features.double().cpu()
        self._gram = residual @ residual.mT
        self._cross = (residual @ features[..., None])[..., 0]
        self._norm = (features**2).sum(-1)
        self._probabilities = probabilities.double().cpu()
        self._again, self._size = again, new + int(again[0].sum())
        self._left, self._new = left, new
        self._beyond = max(0, residual.shape[1] - to_come)

    def best(self, counts: Tensor, width: int) -> tuple[Tensor, Tensor]:
        """Return the sequences to continue ``(width,)`` and their counts ``(width, L)``."""
        tails = self._tails(counts).flatten()
        chosen = tails.argsort(stable=True)[:width]
        chosen = chosen[tails[chosen].isfinite()]
        return chosen // counts.shape[1], counts.flatten(0, 1)[chosen]

    def climb(self, counts: Tensor) -> Tensor:
        """Climb from ``(B, L)`` by single label changes; return the best and its neighbours."""
        eye = torch.eye(counts.shape[1], dtype=torch.long)
        changes = (eye[:, None] - eye).flatten(0, 1)
        changes = torch.cat([changes[:1], changes[(changes != 0).any(1)]])  # the first is none
        for _ in range(2 * self._new):
            near = counts[:, None] + changes
            best = self._tails(near).argmin(1)
            if not best.any():
                break
            counts = near[torch.arange(len(near)), best]
        return counts[:, None] + changes

    def _tails(self, counts: Tensor) -> Tensor:
        """Return the squared singular values beyond the rank, summed, for ``(B, M, L)``."""
        error = self._probabilities[:, None] - (self._again[:, None] + counts) / self._size
        product = error[..., :, None] * self._cross[:, None, None, :]
        square = error[..., :, None] * error[..., None, :]
        gram = self._gram[:, None] - product - product.mT + self._norm[:, None, None, None] * square
        values: Tensor = torch.linalg.eigvalsh(gram)
        tails = values[..., : self._beyond].clamp(min=0).sum(-1)
        impossible = ((counts < 0) | (counts > self._left[:, None])).any(-1)
        return tails.masked_fill(impossible, math.inf)
