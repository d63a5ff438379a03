"""Base class of the judges of modalities."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import ClassVar

from torch import Tensor, nn

from fedsim.attacks import Reconstruction
from fedsim.data import Prepared
from fedsim.log.schema import ExampleScore, Verdict
from fedsim.scoring.conclusion import Conclusion

ConclusionOf = Callable[[Verdict, bool], Conclusion]
"""Function from a verdict, and whether the score is below a blind guess by more than chance, to the
conclusion about the attack and the defense of the victim."""


class Judge(ABC):
    """Compares reconstructions of one modality with the private data.

    Args:
        dataset: the data set, whose test examples are public.
        model: the architecture of the run's model.

    Attributes:
        discrete: whether the data are discrete. Attacks then search among points that are not valid
            data, and a good fit of such a point is not evidence against the private data.
    """

    discrete: ClassVar[bool] = False

    @abstractmethod
    def __init__(self, dataset: Prepared, model: nn.Module) -> None: ...

    def originals(self, inputs: Tensor, labels: Tensor) -> Tensor:
        """Return the private part of a client's batch, in the form of a reconstruction."""
        return inputs

    def words(self, example: Tensor, original: Tensor) -> Sequence[str] | None:
        """Return the displayed tokens of an example; None for a modality without tokens.

        Args:
            example: a private example, or a reconstruction of it.
            original: the private example.
        """
        return None

    def shown(self, example: Tensor, original: Tensor) -> object:
        """Return an example in the form of the modality's view: as tokens, or as an array."""
        words = self.words(example, original)
        return example.detach().cpu().numpy() if words is None else words

    @abstractmethod
    def judge(
        self,
        found: Reconstruction,
        originals: Tensor,
        labels: Tensor,
        own: Tensor,
        conclusion_of: ConclusionOf,
        prior: Tensor | None = None,
    ) -> tuple[Tensor | None, tuple[ExampleScore, ...]]:
        """Return the reconstruction's index for each original, and each original's score.

        Args:
            found: the reconstruction.
            originals: the private batch ``(B, ...)``.
            labels: its labels.
            own: indices of the originals among the public data if they are the adversary's control;
                baselines must not use them.
            conclusion_of: function from a verdict to the conclusion about this victim.
            prior: what the attack finds with the gradient withheld, a baseline; or None.
        """
