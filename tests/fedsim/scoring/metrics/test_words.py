"""Words from the pieces of two kinds of tokenizers."""

import pytest

from fedsim.scoring.metrics.words import FUNCTION_WORDS, NEGATIONS, whole_words


@pytest.mark.parametrize(
    ("tokens", "words"),
    [
        (["trans", "##fer", "the", "rent", "."], ["transfer", "the", "rent", "."]),
        (["##fer", "me"], ["fer", "me"]),  # a guess may begin inside a word
        (["Please", "Pay"], ["please", "pay"]),
        (["The", "Ġdoc", "tor", "Ġtold", "Ġme", "."], ["the", "doctor", "told", "me", "."]),
        (["Ġdon", "'t", "Ġgo"], ["don", "'t", "go"]),
        (["Ġrent", ",", "Ġfood"], ["rent", ",", "food"]),
        ([], []),
    ],
    ids=str,
)
def test_pieces_are_joined(tokens: list[str], words: list[str]) -> None:
    assert whole_words(tokens) == words


def test_negations_say_something() -> None:
    assert not NEGATIONS & FUNCTION_WORDS
    assert {"no", "not", "nor", "never"} <= NEGATIONS


def test_function_words() -> None:
    assert {"the", "of", "i", ".", ",", "'", "s"} <= FUNCTION_WORDS
    assert not {"doctor", "money", "pain", ""} & FUNCTION_WORDS
