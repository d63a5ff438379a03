"""The contract of those who judge one kind of data."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar

from torch import Tensor

from fedsim.attacks import Reconstruction
from fedsim.scoring.metrics.verdict import Verdict
from fedsim.scoring.types import Leakage, Meaning, TextLeakage

MeaningOf = Callable[[Verdict], Meaning]
"""What a verdict says of the attack and the defense of the victim that is judged."""


class Judge(ABC):
    """Compares reconstructions of one kind of data with the private ones.

    Attributes:
        discrete: whether the data are discrete. Attacks then search among points that stand for
            nothing, and one of them that fits says nothing against the private data.
    """

    discrete: ClassVar[bool] = False

    @abstractmethod
    def originals(self, inputs: Tensor, labels: Tensor) -> Tensor:
        """Return what is private of a client's batch, as a reconstruction should have it."""

    @abstractmethod
    def judge(
        self,
        found: Reconstruction,
        originals: Tensor,
        labels: Tensor,
        own: Tensor,
        meaning_of: MeaningOf,
    ) -> tuple[Tensor | None, tuple[Leakage | TextLeakage, ...]]:
        """Return which reconstruction belongs to which original, and each original's leakage.

        Args:
            found: what the attack came to.
            originals: the private batch ``(B, ...)``.
            labels: its labels.
            own: positions of the originals among the public data, if the adversary took them
                from there itself: no baseline may know them.
            meaning_of: what a verdict means here.
        """
