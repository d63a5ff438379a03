"""Chance accuracy: always predict the most frequent class."""

from collections import Counter

from torch import Tensor


def commonest_share(answers: Tensor) -> float:
    """Return the share of the most frequent answer, the accuracy of the best constant guess.

    Args:
        answers: ``(N,)``, the correct answers.

    Raises:
        ValueError: there are no answers.
    """
    if answers.numel() == 0:
        raise ValueError("expected at least one answer")
    [(_, most)] = Counter(answers.tolist()).most_common(1)
    return most / answers.numel()
