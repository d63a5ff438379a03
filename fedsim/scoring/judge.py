"""The contract of a judge of one kind of data."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar

from torch import Tensor

from fedsim.attacks import Reconstruction
from fedsim.log.schema import ExampleScore, Meaning, Verdict

MeaningOf = Callable[[Verdict], Meaning]
"""Maps a verdict to its meaning for the attack and the defense of the judged victim."""


class Judge(ABC):
    """Compares reconstructions of one kind of data with the private ones.

    Attributes:
        discrete: whether the data are discrete. Attacks then search among points that stand for
            nothing, and one of them that fits says nothing against the private data.
    """

    discrete: ClassVar[bool] = False

    @abstractmethod
    def originals(self, inputs: Tensor, labels: Tensor) -> Tensor:
        """Return the private part of a client's batch, as a reconstruction should have it."""

    @abstractmethod
    def judge(
        self,
        found: Reconstruction,
        originals: Tensor,
        labels: Tensor,
        own: Tensor,
        meaning_of: MeaningOf,
    ) -> tuple[Tensor | None, tuple[ExampleScore, ...]]:
        """Return the reconstruction's index for each original, and each original's score.

        Args:
            found: the outcome of the attack.
            originals: the private batch ``(B, ...)``.
            labels: its labels.
            own: positions of the originals among the public data, if the adversary took them
                from there itself: no baseline may know them.
            meaning_of: maps a verdict to its meaning here.
        """
