"""Targets that are not one class: several labels, numbers, or parts for the heads of a model."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from fedsim.core.tasks import Task

LIKELY = 0.5
"""Probability, and sigmoid of a logit, above which a label is told."""

WORST = -1e6
"""Least quality of numbers, also where outputs are not finite, so that it can be recorded."""


@dataclass(frozen=True)
class Head:
    """Part of a target that one head of a model learns.

    Attributes:
        task: ``classify``, whose part is a one-hot row; ``labels``, zeros and ones; ``numbers``.
        width: entries of the part, and outputs of the head.
    """

    task: Task
    width: int

    def quality(self, outputs: Tensor, wanted: Tensor) -> float:
        """Return the quality of outputs as a part, by the measure of its task.

        Args:
            outputs: ``(N, width)``: logits, or numbers.
            wanted: the part, of the same shape.
        """
        if self.task is Task.CLASSIFY:
            return float((outputs.argmax(-1) == wanted.argmax(-1)).double().mean())
        if self.task is Task.LABELS:
            return float(((outputs > 0) == (wanted > LIKELY)).double().mean())
        spread = (wanted - wanted.mean(0)).double().square().sum()
        missed = (wanted - outputs).double().square().sum()
        if not spread > 0:
            return 0.0
        found = float(1 - missed / spread)
        return max(WORST, found) if math.isfinite(found) else WORST

    def chance(self, wanted: Tensor) -> float:
        """Return the quality of the best constant guess of a part ``(N, width)``."""
        if self.task is Task.CLASSIFY:
            return float(wanted.double().mean(0).max())
        if self.task is Task.LABELS:
            share = (wanted > LIKELY).double().mean(0)
            return float(torch.maximum(share, 1 - share).mean())
        return 0.0


@dataclass(frozen=True, eq=False)
class Targets:
    """Targets of examples as rows of numbers, the parts of several heads side by side.

    Attributes:
        rows: ``(N, K)`` float32.
        heads: the parts, whose widths sum to K.
    """

    rows: Tensor
    heads: tuple[Head, ...]

    @classmethod
    def of_rows(cls, rows: Tensor) -> Targets:
        """Return the targets of one head: labels if all entries ``(N, K)`` are 0 or 1."""
        bits = bool(((rows == 0) | (rows == 1)).all())
        head = Head(Task.LABELS if bits else Task.NUMBERS, rows.shape[1])
        return cls(rows.float(), (head,))

    @property
    def task(self) -> Task:
        """Training task of a model of all heads."""
        return self.heads[0].task if len(self.heads) == 1 else Task.HEADS

    @property
    def width(self) -> int:
        """Entries of a row."""
        return self.rows.shape[1]

    def quality(self, outputs: Tensor) -> float:
        """Return the quality of outputs as targets by the task's measure, 1 at best.

        Of classes the accuracy; of several labels the share of all labels that the sign of their
        logits tells; of numbers the coefficient of determination R²: 1 minus the squared error
        over that of the targets' mean, all outputs together, which is 0 for the mean and at least
        `WORST`, as of a model that has diverged; of several heads the mean, in which it is at
        least 0.

        Args:
            outputs: of a model ``(N, K)``.
        """
        pairs = zip(self.heads, self._parts(outputs), self._parts(self.rows), strict=True)
        each = [head.quality(told, own) for head, told, own in pairs]
        return each[0] if len(each) == 1 else sum(max(0.0, q) for q in each) / len(each)

    def chance(self) -> float:
        """Return the quality of the best constant guess."""
        pairs = zip(self.heads, self._parts(self.rows), strict=True)
        return sum(head.chance(part) for head, part in pairs) / len(self.heads)

    def _parts(self, rows: Tensor) -> Iterator[Tensor]:
        yield from torch.split(rows, [head.width for head in self.heads], dim=1)


def labels_right(found: Tensor, wanted: Tensor) -> tuple[int, int]:
    """Return the number of labels of an example that an attack found, and of all.

    Args:
        found: the target that it assigns ``(K,)``.
        wanted: the private one, zeros and ones.
    """
    right = (found.cpu() > LIKELY) == (wanted.cpu() > LIKELY)
    return int(right.sum()), right.numel()
