"""Chance: the accuracy of a constant guess, and the spread of guesses."""

from collections import Counter

from torch import Tensor

from fedsim.scoring.metrics.images import psnr

ONE_SIDED = 1.645
"""Standard deviations below the mean that one of 20 normal variates exceeds."""


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


def chance_db(public: Tensor) -> float:
    """Return the distance below the mean that one guess in 20 exceeds by chance, in dB.

    A reconstruction further below the best blind guess than that is not a guess: something went
    wrong in the attack. The spread is that of the mean public picture over the public ones.

    Args:
        public: public pictures ``(M, C, H, W)``; for fewer than 2 there is no spread.
    """
    if len(public) < 2:
        return 0.0
    mean = public.mean(dim=0, keepdim=True).expand_as(public)
    return ONE_SIDED * float(psnr(mean, public).std())


def below_chance(share: float, guess: float, count: int) -> bool:
    """Return whether a share of correct tokens is below a guess's by more than chance.

    Args:
        share: correct share, in [0, 1].
        guess: that of the best blind guess.
        count: number of tokens.
    """
    return bool(share < guess - ONE_SIDED * (guess * (1 - guess) / count) ** 0.5)
