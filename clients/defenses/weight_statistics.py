"""Check of the statistics of received weights."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from fedsim.clients.defenses.checking import Check, Finding, Received
from fedsim.core.registry import DEFENSES

LEAST_ROWS, LEAST_COLUMNS = 4, 16
"""Size from which a matrix is checked: rows of few numbers are alike by chance."""

MOST_ROWS = 2048
"""Rows of a matrix that are compared with each other, the first ones."""

ALIKE = 0.999
"""Absolute cosine from which two rows count as multiples of each other."""

MIRRORED = 1e-3
"""Relative distance up to which the positive numbers of a row count as a multiple of the negative
ones."""


@DEFENSES.register("weight-statistics")
class WeightStatistics(Check):
    """Check for rows of weights that training does not give.

    In each matrix, dense or convolution, it looks for rows that are multiples of other rows (layers
    that sort examples by one measure), and rows whose positive numbers are a multiple of their
    negative ones (trap weights as published). A server that draws both independently passes.
    """

    alike: Annotated[
        float, Field(gt=0, le=1, description="share of a matrix's rows from which it is suspicious")
    ] = 0.5

    def examine(self, received: Received) -> Finding:
        """Measure; reports the greatest ``alike`` and ``mirrored`` share of all matrices."""
        worst = {"alike": 0.0, "mirrored": 0.0}
        problems = []
        for name, weight in received.weights.items():
            rows = rows_of(weight)
            if rows is None:
                continue
            found = {"alike": alike(rows), "mirrored": mirrored(rows)}
            worst = {k: max(v, found[k]) for k, v in worst.items()}
            if found["alike"] >= self.alike:
                problems.append(f"{found['alike']:.0%} of the rows of {name} are multiples")
            if found["mirrored"] >= self.alike:
                problems.append(f"{found['mirrored']:.0%} of the rows of {name} mirror themselves")
        return Finding("; ".join(problems) or None, worst)


def rows_of(weight: Tensor) -> Tensor | None:
    """Return a weight as rows of numbers in double precision, or None if it is too small."""
    if not weight.is_floating_point() or weight.ndim < 2 or weight.shape[0] < LEAST_ROWS:
        return None
    rows = weight[:MOST_ROWS].flatten(1).double()
    return rows if rows.shape[1] >= LEAST_COLUMNS else None


def alike(rows: Tensor) -> float:
    """Return the share of rows that are multiples of another row; rows of zeros are not."""
    sizes = rows.norm(dim=1, keepdim=True)
    directions = rows / sizes.clamp_min(torch.finfo(rows.dtype).tiny)
    cosines = (directions @ directions.T).abs().fill_diagonal_(0)
    return float((cosines.amax(1) > ALIKE).double().mean())


def mirrored(rows: Tensor) -> float:
    """Return the share of rows whose positive numbers are a multiple of their negative ones."""
    half = rows.shape[1] // 2
    ordered = rows.sort(1).values
    below, above = -ordered[:, :half], ordered.flip(1)[:, :half]
    products, squares = (above * below).sum(1), below.square().sum(1)
    scale = products / squares.clamp_min(torch.finfo(rows.dtype).tiny)
    rest = (above - scale[:, None] * below).norm(dim=1)
    both = (below > 0).any(1) & (above > 0).any(1)
    return float((both & (rest <= MIRRORED * above.norm(dim=1))).double().mean())
