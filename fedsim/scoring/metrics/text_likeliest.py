"""Likeliest text of a length, by a small language model of public texts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

MOST_TOKENS = 1000
"""Maximum number of different tokens, the most frequent ones."""

_DISCOUNT = 0.75
_POSITION = 0.2
"""Share of the probability that comes from the position, not from the previous token."""

Floats = npt.NDArray[np.float64]


def likeliest_text(texts: Sequence[Sequence[str]], length: int) -> list[str]:
    """Return the most probable text of a length.

    The probability of a token follows from the previous one, with absolute discounting (Ney,
    Essen, Kneser 1994), and from its position. Beginnings and ends count as tokens. The best of all
    sequences is found by dynamic programming (Viterbi).

    Args:
        texts: the tokens of each public text; at least one token.
        length: number of tokens, at least one.
    """
    counts = Counter(token for text in texts for token in text)
    tokens = [token for token, _ in counts.most_common(MOST_TOKENS)]
    numbers = {token: n for n, token in enumerate(tokens)}
    rows = [[numbers[t] for t in text if t in numbers] for text in texts]
    follows = np.log(_follows(rows, len(tokens)))
    positions = _positions(rows, len(tokens), length)
    edge = len(tokens)
    best: Floats = follows[edge, :edge] + positions[0]
    came = []
    for place in positions[1:]:
        through: Floats = best[:, None] + follows[:edge, :edge]
        came.append(through.argmax(0))
        best = through.max(0) + place
    chosen = [int((best + follows[:edge, edge]).argmax())]
    for before in reversed(came):
        chosen.append(int(before[chosen[-1]]))
    return [tokens[n] for n in reversed(chosen)]


def _follows(rows: Sequence[Sequence[int]], size: int) -> Floats:
    """Return the probability of each token after each other; the last number is the edge."""
    pairs = np.zeros((size + 1, size + 1))
    for row in rows:
        for one, other in zip([size, *row], [*row, size], strict=True):
            pairs[one, other] += 1
    alone = (pairs.sum(0) + 1) / (pairs.sum() + size + 1)
    total, distinct = pairs.sum(1, keepdims=True), (pairs > 0).sum(1, keepdims=True)
    seen = np.maximum(pairs - _DISCOUNT, 0)
    result: Floats = (seen + _DISCOUNT * distinct * alone) / np.maximum(total, 1)
    return result


def _positions(rows: Sequence[Sequence[int]], size: int, length: int) -> Floats:
    """Return the weight of each token at each position, ``(length, size)``."""
    counts = np.ones((length, size)) / size
    for row in rows:
        for place, token in enumerate(row[:length]):
            counts[place, token] += 1
    shares: Floats = counts / counts.sum(1, keepdims=True)
    weights: Floats = _POSITION * np.log(shares)
    return weights
