"""The contract of a judge of one kind of data."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import ClassVar

from torch import Tensor, nn

from fedsim.attacks import Reconstruction
from fedsim.data import Prepared
from fedsim.log.schema import ExampleScore, Meaning, Verdict

MeaningOf = Callable[[Verdict], Meaning]
"""Maps a verdict to its meaning for the attack and the defense of the judged victim."""


class Judge(ABC):
    """Compares reconstructions of one modality with the private data.

    Args:
        dataset: whose test examples are public.
        model: the architecture of the run's model.

    Attributes:
        discrete: whether the data are discrete. Attacks then search among points that stand for
            nothing, and one of them that fits says nothing against the private data.
    """

    discrete: ClassVar[bool] = False

    @abstractmethod
    def __init__(self, dataset: Prepared, model: nn.Module) -> None: ...

    def originals(self, inputs: Tensor, labels: Tensor) -> Tensor:
        """Return the private part of a client's batch, as a reconstruction should have it."""
        return inputs

    def words(self, example: Tensor, original: Tensor) -> Sequence[str] | None:
        """Return an example in words; None for a modality without words.

        Args:
            example: a private example, or a reconstruction of it.
            original: the private example.
        """
        return None

    def shown(self, example: Tensor, original: Tensor) -> object:
        """Return an example as the view of the modality shows it: in words, or as an array."""
        words = self.words(example, original)
        return example.detach().cpu().numpy() if words is None else words

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
