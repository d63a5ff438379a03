"""provisional"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment


@dataclass(frozen=True)
class TextScores:
    token_accuracy: float
    bag_recall: float
    bag_precision: float
    rouge1: float
    rouge2: float
    rouge_l: float
    exact: bool
    edit_distance: int


def _f(a, b):
    n = sum((a & b).values())
    return 0.0 if not n else 100 * 2 * n / (sum(a.values()) + sum(b.values()))


def score_text(found, reference):
    right = sum(x == y for x, y in zip(found, reference))
    a, b = Counter(found), Counter(reference)
    n = sum((a & b).values())
    bi = lambda t: Counter(zip(t, t[1:]))
    L = [[0] * (len(reference) + 1) for _ in range(len(found) + 1)]
    E = [
        [i + j if i * j == 0 else 0 for j in range(len(reference) + 1)]
        for i in range(len(found) + 1)
    ]
    for i, x in enumerate(found, 1):
        for j, y in enumerate(reference, 1):
            L[i][j] = L[i - 1][j - 1] + 1 if x == y else max(L[i - 1][j], L[i][j - 1])
            E[i][j] = min(E[i - 1][j] + 1, E[i][j - 1] + 1, E[i - 1][j - 1] + (x != y))
    l = L[-1][-1]
    return TextScores(
        100 * right / max(1, len(reference)),
        100 * n / max(1, len(reference)),
        100 * n / max(1, len(found)),
        _f(a, b),
        _f(bi(found), bi(reference)),
        0.0 if not l else 200 * l / (len(found) + len(reference)),
        list(found) == list(reference),
        E[-1][-1],
    )


def match_texts(found, references):
    c = np.array(
        [[-(score_text(f, r).rouge1 + score_text(f, r).rouge_l) for f in found] for r in references]
    )
    return [int(x) for x in linear_sum_assignment(c)[1]]
