"""Where texts come from."""

import sys
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from fedsim.core.errors import DataError
from fedsim.core.modality import TEXTS
from fedsim.data.texts import HuggingFaceTexts, Messages, OwnTexts, TextFile
from fedsim.data.tokens import TextDataset, Texts
from fedsim.models import Bert


@pytest.fixture(scope="module")
def messages() -> TextDataset:
    return Messages().load(None)


def written(folder: Path, content: str | bytes) -> TextFile:
    path = folder / "texts.txt"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return TextFile(path=path)


def refusal(source: TextFile | HuggingFaceTexts) -> str:
    with pytest.raises(DataError) as caught:
        source.load(None)
    return str(caught.value)


@pytest.mark.parametrize("source", [HuggingFaceTexts, Messages, OwnTexts, TextFile])
def test_all_hold_texts(source: type) -> None:
    assert source.modality == TEXTS  # type: ignore[attr-defined]


def test_messages(messages: TextDataset) -> None:
    assert len(messages.train) + len(messages.test) >= 200
    assert len(messages.classes) >= 3
    for part in (messages.train, messages.test):
        assert len(part.labels) == len(part)
        counts = Counter(part.labels)
        assert set(counts) == set(range(len(messages.classes)))
        assert min(counts.values()) > len(part) / len(messages.classes) / 2


def test_no_message_is_there_twice(messages: TextDataset) -> None:
    every = [text.strip().lower() for text in (*messages.train.texts, *messages.test.texts)]
    assert len(every) == len(set(every))
    assert all(text == text.strip() and text for text in messages.train.texts)


def test_messages_are_as_long_as_the_models_take(messages: TextDataset) -> None:
    data, _ = Bert(width=4, layers=1, heads=1).for_data(messages, seed=0)
    unknown = 1
    assert not (data.train.tokens == unknown).any()
    assert not (data.test.tokens == unknown).any()


def test_one_text_per_line(tmp_path: Path) -> None:
    data = written(tmp_path, "one\n\n  two words  \nthree\n   \nfour\nfive\n").load(None)
    assert data.name == "texts.txt"
    assert data.classes == ("text",)
    assert sorted((*data.train.texts, *data.test.texts)) == sorted(
        ["one", "two words", "three", "four", "five"]
    )
    assert len(data.test) == 1


def test_windows_line_ends_and_a_mark_at_the_start(tmp_path: Path) -> None:
    data = written(tmp_path, b"\xef\xbb\xbfcaf\xc3\xa9\r\nbar\r\n").load(None)
    assert {*data.train.texts, *data.test.texts} == {"café", "bar"}


def test_kinds_in_front_of_a_tab(tmp_path: Path) -> None:
    data = written(tmp_path, "spam\tbuy now\nham\thello\tyou\nspam\tcheap").load(None)
    assert data.classes == ("ham", "spam")
    pairs = {
        (text, data.classes[label])
        for part in (data.train, data.test)
        for text, label in zip(part.texts, part.labels, strict=True)
    }
    assert pairs == {("buy now", "spam"), ("hello\tyou", "ham"), ("cheap", "spam")}


def test_a_kind_in_some_lines_alone(tmp_path: Path) -> None:
    message = refusal(written(tmp_path, "spam\tbuy now\nhello\n"))
    assert "texts.txt, text 2: no tab" in message
    assert "expected the class of the text before a tab in every line, or in none" in message


@given(st.integers(2, 60), st.floats(0.01, 0.99))
def test_which_are_held_out_follows_from_their_number(count: int, fraction: float) -> None:
    source = TextFile(path=Path("mine.txt"), test_fraction=fraction)
    object.__setattr__(source, "_lines", lambda: [f"text {n}" for n in range(count)])
    one, again = source.load(None), source.load(None)
    assert one.test.texts == again.test.texts
    assert not {*one.train.texts} & {*one.test.texts}
    assert len(one.train) + len(one.test) == count
    assert len(one.test) == min(count - 1, max(1, round(fraction * count)))


@pytest.mark.parametrize("content", ["", "\n \n\t\n", "only one"])
def test_too_few_lines(tmp_path: Path, content: str) -> None:
    message = refusal(written(tmp_path, content))
    assert f"{tmp_path / 'texts.txt'} has {int('one' in content)} line(s) of text" in message
    assert "expected at least 2, one for training and one to hold out for testing" in message


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    message = refusal(TextFile(path=tmp_path / "missing.txt"))
    assert f"{tmp_path / 'missing.txt'} cannot be read (No such file or directory)" in message
    assert "expected a file with one text per line; check the path" in message


def test_a_folder_in_place_of_a_file(tmp_path: Path) -> None:
    assert "expected a file with one text per line" in refusal(TextFile(path=tmp_path))


def test_not_utf_8(tmp_path: Path) -> None:
    message = refusal(written(tmp_path, "Grüße\nfrom\n".encode("latin-1")))
    assert "texts.txt: not UTF-8 text (byte 2): save it as UTF-8" in message


def test_a_file_too_big(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fedsim.data.texts.lines._MAX_BYTES", 10)
    assert "take a part of it" in refusal(written(tmp_path, "a text\nanother\n"))


@pytest.mark.parametrize("fraction", [0.0, 1.0, -1.0, "half"])
def test_bad_fractions(fraction: object) -> None:
    with pytest.raises(ValidationError, match="test_fraction"):
        TextFile(path=Path("mine.txt"), test_fraction=fraction)  # type: ignore[arg-type]


@pytest.mark.parametrize("part", ["training", "test"])
def test_a_text_too_long_for_the_model(part: str) -> None:
    """The error says which text, how long it may be, and what to do."""
    long, short = Texts(("short", "x " * 50), (0, 0)), Texts(("short",), (0,))
    parts = (long, short) if part == "training" else (short, long)
    with pytest.raises(DataError) as caught:
        Bert(width=4, layers=1, heads=1).for_data(TextDataset("mine", *parts, ("a",)), seed=0)
    message = str(caught.value)
    assert f"mine, {part} text 2 has 52 tokens, more than the model's max_tokens = 32" in message
    assert "shorten it, or raise max_tokens" in message


def test_a_text_without_tokens() -> None:
    data = OwnTexts(texts=("fine", "\u200b")).load(None)
    with pytest.raises(DataError, match=r"training text 2 has no tokens .* remove it"):
        Bert(width=4, layers=1, heads=1).for_data(data, seed=0)


def test_own_sentences(messages: TextDataset) -> None:
    """The public part is fedsim's own messages."""
    data = OwnTexts(texts=["one", "two"]).load(None)  # type: ignore[arg-type]  # as TOML has it
    assert data.train.texts == ("one", "two")
    assert data.test == messages.test


@pytest.mark.parametrize("texts", [[], [""], ["x" * 2001], "a text", [1], None])
def test_bad_sentences(texts: Any) -> None:
    with pytest.raises(ValidationError, match="texts"):
        OwnTexts(texts=texts)


class FakeRows:
    """As much of a data set of the library as is used."""

    def __init__(self, columns: dict[str, list[Any]]) -> None:
        self._columns = columns
        self.column_names = list(columns)
        self.features: dict[str, object] = {name: SimpleNamespace() for name in columns}

    def __len__(self) -> int:
        return len(next(iter(self._columns.values())))

    def __getitem__(self, name: str) -> list[Any]:
        return self._columns[name]

    def select(self, rows: range) -> "FakeRows":
        chosen = FakeRows({k: [v[n] for n in rows] for k, v in self._columns.items()})
        chosen.features = self.features
        return chosen


def fake_library(monkeypatch: pytest.MonkeyPatch, parts: dict[str, FakeRows]) -> None:
    def load_dataset(path: str, config: str | None, *, split: str, cache_dir: Any) -> FakeRows:
        if split not in parts:
            raise ValueError(f"Unknown split {split}.\nA long trace")
        return parts[split]

    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=load_dataset))


def test_the_library_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    message = refusal(HuggingFaceTexts(path="stanfordnlp/sst2"))
    assert "needs the library 'datasets', which is not installed" in message
    assert "pip install datasets" in message


def test_texts_of_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    train = FakeRows({"text": ["a", "b", "c", "d"], "kind": [1, 0, 1, 0]})
    train.features["kind"] = SimpleNamespace(int2str=lambda n: ["bad", "good"][n])
    test = FakeRows({"text": ["e"], "kind": [1]})
    test.features["kind"] = train.features["kind"]
    fake_library(monkeypatch, {"train": train, "test": test})
    data = HuggingFaceTexts(path="reviews", label="kind", limit=3).load(None)
    assert data.train.texts == ("a", "b", "c")
    assert [data.classes[n] for n in data.train.labels] == ["good", "bad", "good"]
    assert data.classes == ("bad", "good")
    alone = HuggingFaceTexts(path="reviews").load(None)
    assert alone.classes == ("text",)
    assert alone.test.labels == (0,)


def test_what_the_library_has_not(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = FakeRows({"sentence": ["a"]})
    fake_library(monkeypatch, {"train": rows, "test": rows})
    message = refusal(HuggingFaceTexts(path="reviews"))
    assert message == "data set 'reviews': no column 'text': expected one of sentence"
    message = refusal(HuggingFaceTexts(path="reviews", text="sentence", test_split="validation"))
    assert message == "data set 'reviews', part 'validation': Unknown split validation."
