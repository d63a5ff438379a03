"""What a model has right that has learnt nothing but how often each answer comes."""

from collections import Counter

from torch import Tensor


def commonest_share(answers: Tensor) -> float:
    """Return the share of the commonest answer, which is what a constant guess has right.

    Args:
        answers: ``(N,)``, the right ones.

    Raises:
        ValueError: there is none.
    """
    if answers.numel() == 0:
        raise ValueError("expected at least one answer")
    [(_, most)] = Counter(answers.tolist()).most_common(1)
    return most / answers.numel()
