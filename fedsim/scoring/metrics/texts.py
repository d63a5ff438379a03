"""Similarity metrics of a reconstructed text and the private text, from lists of tokens.

Definitions:

- token accuracy: share of the private text's positions with the correct token.
- bag recall and precision: tokens as a multiset, in any position.
- ROUGE-1, ROUGE-2: F1 of common uni- and bigrams (two single tokens, which have no bigrams, have a
  ROUGE-2 of 100 if they are the same, else 0); ROUGE-L: F1 of the longest common subsequence
  (Lin, ROUGE: a package for automatic evaluation of summaries, 2004). Over the model's tokens
  without stemming, times 100.
- edit distance: insertions, deletions and replacements of tokens (Levenshtein).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.optimize import linear_sum_assignment  # type: ignore[import-untyped]

Tokens = Sequence[Hashable]


@dataclass(frozen=True)
class TextScores:
    """Scores of one reconstructed text; all except the last two range from 0 to 100.

    Attributes:
        token_accuracy: share of correct positions.
        bag_recall: share of the private tokens that were found.
        bag_precision: share of the found tokens that are private.
        rouge1, rouge2, rouge_l: F1.
        exact: whether both texts are the same.
        edit_distance: in tokens.
    """

    token_accuracy: float
    bag_recall: float
    bag_precision: float
    rouge1: float
    rouge2: float
    rouge_l: float
    exact: bool
    edit_distance: int


def score_text(found: Tokens, reference: Tokens) -> TextScores:
    """Return the scores of a reconstructed text.

    Args:
        found: its tokens.
        reference: the tokens of the private text, at least one.

    Raises:
        ValueError: the private text has no tokens.
    """
    if not reference:
        raise ValueError("a text without tokens cannot be scored against")
    right = sum(a == b for a, b in zip(found, reference, strict=False))
    common = _common(found, reference)
    return TextScores(
        token_accuracy=100 * right / len(reference),
        bag_recall=100 * common / len(reference),
        bag_precision=100 * common / max(1, len(found)),
        rouge1=_f1(common, len(found), len(reference)),
        rouge2=_rouge2(found, reference),
        rouge_l=_f1(_longest_common(found, reference), len(found), len(reference)),
        exact=list(found) == list(reference),
        edit_distance=_edits(found, reference),
    )


def match_texts(found: Sequence[Tokens], references: Sequence[Tokens]) -> list[int]:
    """Return the one-to-one assignment: the index of each private text's reconstruction.

    The assignment with the greatest sum of ROUGE-1 and ROUGE-L (scipy's
    ``linear_sum_assignment``): the tokens of a text decide, then their order. Accuracy by
    position would fail for a text that is shifted by one token.

    Raises:
        ValueError: the numbers of texts differ.
    """
    if len(found) != len(references):
        raise ValueError(f"cannot match {len(found)} texts to {len(references)}")

    def likeness(one: Tokens, other: Tokens) -> float:
        scores = score_text(one, other)
        return scores.rouge1 + scores.rouge_l

    gain = np.array([[likeness(f, r) for f in found] for r in references])
    _, chosen = linear_sum_assignment(gain, maximize=True)
    return [int(i) for i in chosen]


def _rouge2(one: Tokens, other: Tokens) -> float:
    if list(one) == list(other):
        return 100.0
    return _f1(
        _common(list(pairwise(one)), list(pairwise(other))),
        max(0, len(one) - 1),
        max(0, len(other) - 1),
    )


def _f1(common: int, one: int, other: int) -> float:
    """Return 100 times the F1 of two bags, or 0 if both are empty."""
    return 200 * common / max(1, one + other)


def _common(one: Sequence[Hashable], other: Sequence[Hashable]) -> int:
    return sum((Counter(one) & Counter(other)).values())


def _longest_common(one: Tokens, other: Tokens) -> int:
    row = [0] * (len(other) + 1)
    for a in one:
        before = 0
        for j, b in enumerate(other, start=1):
            before, row[j] = row[j], before + 1 if a == b else max(row[j], row[j - 1])
    return row[-1]


def _edits(one: Tokens, other: Tokens) -> int:
    row = list(range(len(other) + 1))
    for i, a in enumerate(one, start=1):
        before, row[0] = row[0], i
        for j, b in enumerate(other, start=1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (a != b))
    return row[-1]
