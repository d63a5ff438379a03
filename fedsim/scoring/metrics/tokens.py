"""The metrics of `texts`, registered."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from fedsim.core.registry import METRICS
from fedsim.scoring.metrics.base import TextMetric
from fedsim.scoring.metrics.texts import score_text


class _Scored(TextMetric):
    """One of the figures of `score_text`.

    Attributes:
        figure: its name.
    """

    figure: ClassVar[str]

    def score(self, rebuilt: Sequence[Sequence[str]], originals: Sequence[Sequence[str]]) -> Tensor:
        """Return the figure of each text, (N,)."""
        scores = [score_text(r, o) for r, o in zip(rebuilt, originals, strict=True)]
        return torch.tensor([float(getattr(s, self.figure)) for s in scores], dtype=torch.float64)


@METRICS.register("token_accuracy")
class TokenAccuracy(_Scored):
    """Share of the private text's positions with the correct token."""

    figure: ClassVar[str] = "token_accuracy"
    unit: ClassVar[str] = "%"


@METRICS.register("bag_recall")
class BagRecall(_Scored):
    """Share of the private tokens that were found, in any position."""

    figure: ClassVar[str] = "bag_recall"
    unit: ClassVar[str] = "%"


@METRICS.register("bag_precision")
class BagPrecision(_Scored):
    """Share of the found tokens that are private, in any position."""

    figure: ClassVar[str] = "bag_precision"
    unit: ClassVar[str] = "%"


@METRICS.register("rouge1")
class Rouge1(_Scored):
    """ROUGE-1: F1 of common tokens, times 100."""

    figure: ClassVar[str] = "rouge1"


@METRICS.register("rouge2")
class Rouge2(_Scored):
    """ROUGE-2: F1 of common pairs of tokens, times 100."""

    figure: ClassVar[str] = "rouge2"


@METRICS.register("rouge_l")
class RougeL(_Scored):
    """ROUGE-L: F1 of the longest common subsequence, times 100."""

    figure: ClassVar[str] = "rouge_l"


@METRICS.register("exact")
class Exact(_Scored):
    """1 if both texts are the same, else 0."""

    figure: ClassVar[str] = "exact"


@METRICS.register("edit_distance")
class EditDistance(_Scored):
    """Insertions, deletions and replacements of tokens."""

    figure: ClassVar[str] = "edit_distance"
    unit: ClassVar[str] = " tokens"
    higher_is_better: ClassVar[bool] = False
