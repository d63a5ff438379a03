"""Tasks of language models, and the numbers that their batches share."""

from dataclasses import dataclass
from enum import StrEnum

IGNORED = -100
"""The label of a position that is not to be predicted, as PyTorch's cross-entropy has it."""

MASKED_SHARE = 0.15
"""Share of a text's tokens that are masked."""


class Task(StrEnum):
    """The training task of a language model."""

    MASKED = "masked"  # predict the tokens that were masked (BERT)
    NEXT = "next"  # predict each token from those before it (GPT)
    CLASSIFY = "classify"  # predict the class of a text


@dataclass(frozen=True)
class Specials:
    """The numbers of the special tokens.

    Attributes:
        pad: fills up short texts.
        first: in front of each text; None if the model has none.
        last: behind each text.
        mask: in place of a masked token; None if the model does not mask.
    """

    pad: int
    first: int | None
    last: int
    mask: int | None
