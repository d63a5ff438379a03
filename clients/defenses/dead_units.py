"""Check for weights that are zero, and rows that are all alike."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import Tensor

from fedsim.clients.defenses.checking import Check, Finding, Received
from fedsim.clients.defenses.weight_statistics import rows_of
from fedsim.core.registry import DEFENSES

SILENT = 1e-3
"""Length of a row, in units of the longest of its matrix, below which it counts as zero."""


@DEFENSES.register("dead-units")
class DeadUnits(Check):
    """Check for units and weights that a server has silenced.

    In each matrix, dense or convolution, it measures the share of rows without weight (outputs that
    do not depend on the input, as in `fishing`) and the share of weights that are zero (layers that
    only pass data on). Weights of pruned models are zero too: for these, raise the shares. A server
    that puts small numbers in place of zeros passes.
    """

    rows: Annotated[
        float, Field(gt=0, le=1, description="share of a matrix's rows without weight")
    ] = 0.5
    weights: Annotated[
        float, Field(gt=0, le=1, description="share of a matrix's weights that are zero")
    ] = 0.8

    def examine(self, received: Received) -> Finding:
        """Measure; reports the greatest share of silent ``rows`` and of zero ``weights``."""
        worst = {"rows": 0.0, "weights": 0.0}
        problems = []
        for name, weight in received.weights.items():
            rows = rows_of(weight)
            if rows is None or not bool(rows.any()):
                continue
            found = {"rows": silent(rows), "weights": float((rows == 0).double().mean())}
            worst = {k: max(v, found[k]) for k, v in worst.items()}
            if found["rows"] >= self.rows:
                problems.append(f"{found['rows']:.0%} of the rows of {name} are silent")
            elif found["weights"] >= self.weights:
                problems.append(f"{found['weights']:.0%} of {name} is zero")
        return Finding("; ".join(problems) or None, worst)


def silent(rows: Tensor) -> float:
    """Return the share of rows that are zero, or nearly so beside the longest."""
    lengths = rows.norm(dim=1)
    return float((lengths <= SILENT * lengths.max()).double().mean())
