"""From texts to numbers and back."""

import copy
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedsim.core.errors import DataError
from fedsim.core.tasks import Specials, Task
from fedsim.data.tokens import TextDataset, Texts
from fedsim.models.text import Vocabulary, embedded_vocabulary, read_vocabulary
from fedsim.models.text.extra import need
from tests.texts import DATA, MARKS, SENTENCES, vocabulary


@pytest.fixture(scope="module")
def embedded() -> Vocabulary:
    return embedded_vocabulary()


def byte_level(*marks: str) -> Vocabulary:
    """Return a vocabulary of GPT-2's kind, with the special tokens that are given."""
    made = need("tokenizers").ByteLevelBPETokenizer()
    made.add_special_tokens(list(marks))
    made.add_tokens(["hello", "world"])
    return Vocabulary(made._tokenizer, "bytes")


def test_special_tokens(embedded: Vocabulary) -> None:
    assert embedded.specials == Specials(pad=0, first=2, last=3, mask=4)
    assert embedded.words(range(5)) == list(MARKS)
    assert [n for n in range(len(embedded)) if embedded.is_special(n)] == [0, 2, 3, 4]


def test_the_unknown_token_is_part_of_a_text(embedded: Vocabulary) -> None:
    assert embedded.unknown == 1
    assert embedded.count_unknown("see you at noon \N{SLIGHTLY SMILING FACE}") == (1, 5)
    assert embedded.count_unknown("see you") == (0, 2)
    assert byte_level("<|endoftext|>").unknown is None


def test_between_special_tokens(embedded: Vocabulary) -> None:
    words = embedded.words(embedded.encode("The doctor said", first=True))
    assert words[0] == "[CLS]"
    assert words[-1] == "[SEP]"
    assert (
        embedded.encode("The doctor said", first=False)
        == embedded.encode("The doctor said", first=True)[1:]
    )


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=60))
@settings(deadline=None)
def test_any_plain_text_can_be_written(text: str) -> None:
    """Without an unknown token, and read back but for case and spaces."""
    words = embedded_vocabulary()
    if any(mark.lower() in text.lower() for mark in MARKS):
        return
    tokens = words.encode(text, first=True)
    assert "[UNK]" not in words.words(tokens)
    assert words.text(tokens).replace(" ", "") == text.lower().replace(" ", "")


def test_a_vocabulary_is_never_copied(embedded: Vocabulary) -> None:
    assert copy.deepcopy(embedded) is embedded


def test_unknown_numbers_are_shown(embedded: Vocabulary) -> None:
    assert embedded.words([len(embedded) + 7]) == ["[?]"]


def test_a_vocabulary_without_an_end_of_text() -> None:
    with pytest.raises(DataError) as caught:
        byte_level("<pad>")
    assert "'bytes' has no [SEP], <|endoftext|> or </s>" in str(caught.value)
    assert "expected the vocabulary of a BERT or GPT-2 model" in str(caught.value)


def test_gpt2_pads_with_a_number_that_no_text_has() -> None:
    words = byte_level("<|endoftext|>")
    assert words.specials.pad == len(words)
    assert words.specials.first is None
    assert words.specials.mask is None
    assert words.is_special(words.specials.last)


def test_masking_needs_a_mask_token() -> None:
    words = byte_level("<|endoftext|>")
    with pytest.raises(DataError) as caught:
        words.prepare(DATA, Task.MASKED, 200, first=True)
    assert "'bytes' has no mask token" in str(caught.value)
    assert "expected the vocabulary of a BERT model, or another task than 'masked'" in str(
        caught.value
    )


def test_prepared() -> None:
    words = vocabulary()
    data = words.prepare(DATA, Task.CLASSIFY, 16, first=True)
    assert [words.text(row) for row in data.train.rows()] == list(SENTENCES)
    assert data.train.labels.tolist() == list(DATA.train.labels)
    assert data.classes == DATA.classes
    assert set(data.train.tokens[:, 0].tolist()) == {words.specials.first}


@pytest.mark.parametrize("mark", ["[PAD]", "[SEP]", "[CLS]", "[MASK]"])
def test_a_text_that_holds_a_special_token(mark: str) -> None:
    """It would be taken for what the token means: where the text ends, or what is masked."""
    data = TextDataset("mine", Texts(("fine", f"my {mark} friend"), (0, 0)), DATA.test, ("a",))
    with pytest.raises(DataError) as caught:
        vocabulary().prepare(data, Task.CLASSIFY, 16, first=True)
    assert f"mine, training text 2 has the special token {mark}" in str(caught.value)
    assert "remove it" in str(caught.value)


def test_unknown_characters_are_no_special_token() -> None:
    data = TextDataset("mine", Texts(("my 漢 friend",), (0,)), DATA.test, ("a",))
    words = vocabulary()
    [row] = words.prepare(data, Task.CLASSIFY, 16, first=True).train.rows()
    assert words.words(row) == ["[CLS]", "my", "[UNK]", "friend", "[SEP]"]


def test_no_vocabulary_in_a_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        read_vocabulary(tmp_path)
    assert (
        str(caught.value) == f"{tmp_path} holds no vocabulary: expected tokenizer.json or vocab.txt"
    )


def test_a_plain_list_of_words(tmp_path: Path) -> None:
    (tmp_path / "vocab.txt").write_text("\n".join([*MARKS, "money", "##s"]) + "\n")
    words = read_vocabulary(tmp_path)
    assert words.words(words.encode("Moneys", first=True)) == ["[CLS]", "money", "##s", "[SEP]"]


def test_a_broken_vocabulary(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text("{not json")
    with pytest.raises(DataError, match="its vocabulary cannot be read"):
        read_vocabulary(tmp_path)
