"""The score of one victim."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from fedsim.log.schema import ExampleScore


@dataclass(frozen=True, eq=False)
class Scored:
    """One victim's leakage.

    Attributes:
        originals: the private batch: pictures ``(B, C, H, W)`` in [0, 1], or tokens ``(B, L)``.
        matching: index of the reconstruction that belongs to each original, ``(B,)``; None if
            there is no reconstruction.
        truth_misfit: the attack's relative objective of the private batch itself.
        leakage: one for each original.
    """

    originals: Tensor
    matching: Tensor | None
    truth_misfit: float | None
    leakage: tuple[ExampleScore, ...]
