"""The language model of word pairs."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedsim.attacks.text.ngrams import Bigrams

TEXTS = [[1, 2, 3], [1, 2, 4], [1, 2, 3], [5, 1]]


def test_counts() -> None:
    model = Bigrams.of(TEXTS)
    assert model.pairs == {(1, 2): 3, (2, 3): 2, (2, 4): 1, (5, 1): 1}
    assert model.firsts == {1: 3, 2: 3, 5: 1}
    assert model.distinct == {1: 1, 2: 2, 5: 1}
    assert model.total == 11


def test_closed_form() -> None:
    """(2 - 0.75 + 0.75 x 2 x (2 + 1) / (11 + 5 + 1)) / 3 for 3 behind 2."""
    expected = -math.log((2 - 0.75 + 0.75 * 2 * 3 / 17) / 3)
    assert Bigrams.of(TEXTS).surprise([[2, 3]]) == pytest.approx(expected)


def test_likelier_texts_surprise_less() -> None:
    model = Bigrams.of(TEXTS)
    right, wrong, unseen = ([[1, 2, 3]], [[3, 2, 1]], [[7, 8, 9]])
    assert model.surprise(right) < model.surprise(wrong) < model.surprise(unseen)


@given(st.integers(0, 8))
def test_likelihoods_sum_to_one(first: int) -> None:
    """Over all that was seen, and one token that was not."""
    model = Bigrams.of(TEXTS)
    total = sum(model.likelihood(first, second) for second in [1, 2, 3, 4, 5, 99])
    assert total == pytest.approx(1.0)


def test_nothing_to_be_surprised_at() -> None:
    assert Bigrams.of(TEXTS).surprise([]) == 0.0
    assert Bigrams.of(TEXTS).surprise([[1]]) == 0.0
    assert Bigrams.of([]).surprise([[1, 2]]) == 0.0
