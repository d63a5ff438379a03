"""Types of scores."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from fedsim.log.schema import ExampleScore


@dataclass(frozen=True, eq=False)
class Scored:
    """Leakage of one victim.

    Attributes:
        originals: the private batch: pictures ``(B, C, H, W)`` in [0, 1], or tokens ``(B, L)``.
        matching: index of each original's reconstruction, ``(B,)``; None if there is no
            reconstruction.
        truth_misfit: the attack's relative objective of the private batch itself.
        leakage: one score for each original.
    """

    originals: Tensor
    matching: Tensor | None
    truth_misfit: float | None
    leakage: tuple[ExampleScore, ...]
