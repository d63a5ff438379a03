"""A small language model of token pairs."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Self

_DISCOUNT = 0.75


@dataclass(frozen=True)
class Bigrams:
    """Pairs of tokens, counted, with absolute discounting towards single ones.

    Ney, Essen, Kneser, Computer Speech & Language 8, 1994, without their modified lower order.

    Attributes:
        pairs: how often one token follows another.
        firsts: how often each token is followed.
        distinct: by how many different tokens.
        singles: how often each token comes.
        total: of all tokens.
    """

    pairs: dict[tuple[int, int], int]
    firsts: dict[int, int]
    distinct: dict[int, int]
    singles: dict[int, int]
    total: int

    @classmethod
    def of(cls, texts: Sequence[Sequence[int]]) -> Self:
        """Return the model of texts, given as lists of tokens."""
        pairs = Counter(pair for text in texts for pair in pairwise(text))
        firsts, distinct = Counter[int](), Counter[int]()
        for (first, _), count in pairs.items():
            firsts[first] += count
            distinct[first] += 1
        singles = Counter(token for text in texts for token in text)
        return cls(dict(pairs), dict(firsts), dict(distinct), dict(singles), singles.total())

    def surprise(self, texts: Sequence[Sequence[int]]) -> float:
        """Return the mean of ``-log p`` over the tokens of texts, in nats."""
        costs = [-math.log(self.likelihood(a, b)) for text in texts for a, b in pairwise(text)]
        return sum(costs) / max(1, len(costs))

    def alone(self, token: int) -> float:
        """Return the probability of a token; an unseen one counts as seen once."""
        return (self.singles.get(token, 0) + 1) / (self.total + len(self.singles) + 1)

    def unseen(self, first: int) -> float:
        """Return the probability that a token is followed by another than in the texts."""
        followed = self.firsts.get(first, 0)
        return _DISCOUNT * self.distinct[first] / followed if followed else 1.0

    def likelihood(self, first: int, second: int) -> float:
        """Return the probability that a token follows another."""
        followed = self.firsts.get(first, 0)
        seen = max(0.0, self.pairs.get((first, second), 0) - _DISCOUNT) / max(1, followed)
        return seen + self.unseen(first) * self.alone(second)
