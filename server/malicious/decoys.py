"""Bins hidden among other rows, so that the clients' checks of weights see no majority."""

from __future__ import annotations

import torch
from torch import Tensor

from fedsim.core.errors import RunError

DECOYS = 0.55
"""Share of a layer's rows that are decoys: bins are then fewer than the half of a matrix's rows
from which `weight-statistics` suspects it."""

FAINT = 0.03
"""Factor on honest weights that take the place of zeros: rows stay above the length at which
`dead-units` counts them as silent, and hardly change what the layer computes."""

TUNED = (
    "whether the server avoids what the clients' checks of weights look for; it then gets less, "
    "see docs/threat-models.md"
)
"""Description of the parameter ``tuned`` of a manipulation."""


def rows_of_bins(rows: int, generator: torch.Generator, *, tuned: bool) -> Tensor:
    """Return the numbers of the rows that hold bins ``(bins,)``, in ascending order.

    Args:
        rows: rows of the layer.
        generator: source of the choice, unused if all rows hold bins.
        tuned: whether a share of `DECOYS` of the rows is left out, at random places.

    Raises:
        RunError: fewer than two of the rows would hold bins.
    """
    if not tuned:
        return torch.arange(rows)
    kept = int((1 - DECOYS) * rows)
    if kept < 2:
        raise RunError(
            f"adversary.malicious: 'tuned' hides at least two bins among other rows, and the layer "
            f"has {rows}, too few for that; use a wider layer, or tuned = false"
        )
    return torch.randperm(rows, generator=generator)[:kept].sort().values


def random_rows(rows: int, columns: int, generator: torch.Generator) -> Tensor:
    """Return rows of length 1 in random directions ``(rows, columns)``."""
    drawn = torch.randn(rows, columns, generator=generator)
    lengths: Tensor = drawn.norm(dim=1, keepdim=True)
    return drawn / lengths.clamp_min(torch.finfo(drawn.dtype).tiny)
