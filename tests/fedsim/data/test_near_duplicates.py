"""Private and public texts share no near-duplicates."""

import re
from pathlib import Path

import pytest

from fedsim.data.texts import Messages, OwnTexts, TextFile
from fedsim.data.texts.near import without_near_duplicates
from fedsim.data.tokens import Texts
from fedsim.scenario import load_scenario

PUBLIC = "Please transfer the money to my new account."


def words(text: str) -> set[str]:
    return {word for word in re.findall(r"\w+", text.lower()) if len(word) > 3}


def test_the_embedded_messages_have_none() -> None:
    """No pair shares half of its longer words."""
    data = Messages().load(None)
    assert without_near_duplicates(data.test, data.train.texts) == data.test
    overlap = [
        len(words(a) & words(b)) / len(words(a) | words(b) or {""})
        for a in data.train.texts
        for b in data.test.texts
    ]
    assert max(overlap) < 0.5


@pytest.mark.parametrize(
    ("private", "near"),
    [
        (PUBLIC, True),
        ("transfer the money to the new account please", True),
        ("please transfer the rent to my new account", True),
        ("please transfer nothing to my new house", False),
        ("they sold the money", False),
    ],
)
def test_the_same_words_or_all_but_one(private: str, near: bool) -> None:
    public = Texts((PUBLIC, "The rain stopped."), (0, 1))
    kept = without_near_duplicates(public, [private])
    assert kept == (Texts(("The rain stopped.",), (1,)) if near else public)


def test_sentences_have_other_messages_as_public_texts() -> None:
    data = OwnTexts(texts=(PUBLIC,)).load(None)
    assert PUBLIC not in data.test.texts
    assert len(data.test.texts) == len(Messages().load(None).test.texts) - 1


def test_the_figure_of_bert_has_no_public_neighbours() -> None:
    data = load_scenario("bert-figure", ()).data.dataset.load(None)
    assert without_near_duplicates(data.test, data.train.texts) == data.test


def test_a_file_is_split_without_repetitions(tmp_path: Path) -> None:
    path = tmp_path / "mine.txt"
    path.write_text("\n".join([PUBLIC] * 5 + [f"alone{n} stands{n} here{n}" for n in range(5)]))
    data = TextFile(path=path, test_fraction=0.5).load(None)
    assert set(data.test.texts).isdisjoint(data.train.texts)
    path.write_text("\n".join([PUBLIC] * 5))
    assert len(TextFile(path=path).load(None).test.texts) == 1
