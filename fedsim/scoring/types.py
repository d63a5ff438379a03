"""Types of scores."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from fedsim.attacks import TruthFit
from fedsim.log.schema import ExampleScore


@dataclass(frozen=True, eq=False)
class Scored:
    """Leakage of one victim.

    Attributes:
        originals: the private batch: pictures ``(B, C, H, W)`` in [0, 1], or tokens ``(B, L)``;
            None if it is unknown.
        matching: index of each original's reconstruction, ``(B,)``; None if there is no
            reconstruction.
        fit: fit of the private batch itself under the attack's own equations; None if the attack
            has no objective or gave no reconstruction.
        leakage: one score for each original.
        guess: a blind guess to show beside the reconstruction of an unknown batch ``(B, ...)``;
            None if the batch is known.
    """

    originals: Tensor | None
    matching: Tensor | None
    fit: TruthFit | None
    leakage: tuple[ExampleScore, ...]
    guess: Tensor | None = None
