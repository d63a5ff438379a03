"""Training tasks of models, and the numbers that the batches of texts share."""

from dataclasses import dataclass
from enum import StrEnum

IGNORED = -100
"""Label of a position without a prediction, as in PyTorch's cross-entropy."""

MASKED_SHARE = 0.15
"""Share of a text's tokens that are masked."""


class Task(StrEnum):
    """Training task of a model."""

    MASKED = "masked"  # predict the masked tokens (BERT)
    NEXT = "next"  # predict each token from the previous ones (GPT)
    CLASSIFY = "classify"  # predict the class of an example
    LABELS = "labels"  # predict which of several labels an example has
    NUMBERS = "numbers"  # predict numbers (regression)
    HEADS = "heads"  # predict several of these at once


@dataclass(frozen=True)
class Specials:
    """Numbers of the special tokens.

    Attributes:
        pad: padding after short texts.
        first: start of each text; None if the model has no such token.
        last: end of each text.
        mask: replaces a masked token; None if the vocabulary has no mask token.
    """

    pad: int
    first: int | None
    last: int
    mask: int | None
