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
        costs = [-math.log(self._likelihood(a, b)) for text in texts for a, b in pairwise(text)]
        return sum(costs) / max(1, len(costs))

    def _likelihood(self, first: int, second: int) -> float:
        # Plus one for an unseen token.
        alone = (self.singles.get(second, 0) + 1) / (self.total + len(self.singles) + 1)
        followed = self.firsts.get(first, 0)
        if not followed:
            return alone
        seen = max(0.0, self.pairs.get((first, second), 0) - _DISCOUNT)
        return (seen + _DISCOUNT * self.distinct[first] * alone) / followed
