"""Scores of texts against closed forms."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedsim.scoring.metrics.texts import match_texts, score_text


def words(text: str) -> list[str]:
    return text.split()


texts = st.lists(st.sampled_from("abcde"), min_size=1, max_size=9)


@given(texts)
def test_a_text_is_like_itself(text: list[str]) -> None:
    scores = score_text(text, text)
    shares = (scores.token_accuracy, scores.bag_recall, scores.bag_precision)
    assert (*shares, scores.rouge1, scores.rouge2, scores.rouge_l) == (100.0,) * 6
    assert scores.exact
    assert scores.edit_distance == 0


@given(texts, texts)
def test_what_holds_of_any_two(found: list[str], reference: list[str]) -> None:
    scores, back = score_text(found, reference), score_text(reference, found)
    assert (scores.rouge1, scores.rouge2, scores.rouge_l) == (
        back.rouge1,
        back.rouge2,
        back.rouge_l,
    )
    assert scores.rouge_l <= scores.rouge1 <= 100
    assert scores.bag_recall == pytest.approx(back.bag_precision)
    assert scores.edit_distance == back.edit_distance
    assert scores.edit_distance <= max(len(found), len(reference))
    assert scores.exact is (found == reference) is (scores.edit_distance == 0)
    assert scores.token_accuracy <= scores.bag_recall


def test_closed_forms() -> None:
    """Four of five words, three of which follow one another, and two of whose pairs are there."""
    scores = score_text(words("the cat sat on mat"), words("the cat on the mat"))
    assert scores.token_accuracy == pytest.approx(100 * 3 / 5)  # the, cat, mat
    assert scores.bag_recall == pytest.approx(100 * 4 / 5)
    assert scores.bag_precision == pytest.approx(100 * 4 / 5)
    assert scores.rouge1 == pytest.approx(100 * 4 / 5)
    assert scores.rouge2 == pytest.approx(100 * 1 / 4)  # "the cat" alone
    assert scores.rouge_l == pytest.approx(100 * 4 / 5)  # the cat on mat
    assert scores.edit_distance == 2
    assert not scores.exact


def test_precision_and_recall_of_different_lengths() -> None:
    scores = score_text(list("abcdefgh"), list("ab"))
    assert (scores.bag_recall, scores.bag_precision) == (100.0, 25.0)
    assert scores.rouge1 == pytest.approx(200 * 2 / 10)
    assert scores.token_accuracy == 100.0
    assert scores.edit_distance == 6


def test_a_token_counts_as_often_as_it_is_there() -> None:
    scores = score_text(list("aaaa"), list("abca"))
    assert scores.bag_recall == 50.0
    assert scores.token_accuracy == 50.0


@pytest.mark.parametrize(
    ("found", "reference", "rouge2"),
    [
        ("a", "a", 100.0),
        ("a", "b", 0.0),
        ("", "a", 0.0),
        ("a", "ab", 0.0),
        ("ab", "a", 0.0),
        ("ab", "ab", 100.0),
        ("ab", "ba", 0.0),
    ],
)
def test_texts_too_short_for_pairs(found: str, reference: str, rouge2: float) -> None:
    assert score_text(list(found), list(reference)).rouge2 == rouge2


def test_nothing_found() -> None:
    scores = score_text([], list("abc"))
    assert scores.rouge1 == scores.rouge_l == scores.bag_precision == scores.bag_recall == 0.0
    assert scores.edit_distance == 3


def test_nothing_to_find() -> None:
    with pytest.raises(ValueError, match="without tokens"):
        score_text(["a"], [])


def test_independent_library() -> None:
    """Google's rouge-score, where it is installed."""
    scorer = pytest.importorskip("rouge_score.rouge_scorer")
    rng = np.random.default_rng(0)
    library = scorer.RougeScorer(["rouge1", "rouge2", "rougeL"])
    for _ in range(50):
        one, other = (rng.choice(["aa", "bb", "cc"], rng.integers(2, 9)).tolist() for _ in "ab")
        expected = library.score(" ".join(other), " ".join(one))
        scores = score_text(one, other)
        assert scores.rouge1 == pytest.approx(100 * expected["rouge1"].fmeasure)
        assert scores.rouge2 == pytest.approx(100 * expected["rouge2"].fmeasure)
        assert scores.rouge_l == pytest.approx(100 * expected["rougeL"].fmeasure)


@given(st.permutations(range(4)))
def test_a_permuted_batch_is_matched(order: list[int]) -> None:
    texts = [words("a b c"), words("a b d e"), words("f g"), words("c b a")]
    matching = match_texts([texts[i] for i in order], texts)
    assert [order[row] for row in matching] == [0, 1, 2, 3]


def test_the_matching_is_the_best_and_not_the_greedy_one() -> None:
    """The first text likes the first guess best, which the second needs more."""
    references = [words("a b c d"), words("a b x y")]
    found = [words("a b x d"), words("a b q q")]

    def total(order: tuple[int, ...]) -> float:
        scores = (score_text(found[row], r) for row, r in zip(order, references, strict=True))
        return sum(s.rouge1 + s.rouge_l for s in scores)

    chosen = match_texts(found, references)
    assert total(tuple(chosen)) == max(map(total, permutations(range(2))))
    assert sorted(chosen) == [0, 1]


def test_a_shifted_text_is_still_found() -> None:
    references = [words("one two three four"), words("five six seven eight")]
    found = [words("x five six seven"), words("x one two three")]
    assert match_texts(found, references) == [1, 0]


def test_one_good_text_does_not_stand_for_two() -> None:
    references = [words("a b c"), words("a b c")]
    found = [words("a b c"), words("x y z")]
    assert sorted(match_texts(found, references)) == [0, 1]


def test_not_as_many() -> None:
    with pytest.raises(ValueError, match="cannot match 1 texts to 2"):
        match_texts([["a"]], [["a"], ["b"]])
