"""The words agree with what a reader finds in graded texts."""

import csv
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedsim.core.names import NEAREST
from fedsim.data.texts.messages import messages
from fedsim.log.schema import Verdict
from fedsim.models.text import Vocabulary, embedded_vocabulary
from fedsim.scoring.metrics.text_baselines import TextBaselines
from fedsim.scoring.metrics.text_verdict import FUNCTION_WORDS, content_share, text_verdict


def words(text: str) -> list[str]:
    return text.split()


GRADED = Path(__file__).with_name("graded_texts.tsv")
ORDER = [Verdict.GUESSING, Verdict.PARTLY, Verdict.RECOGNISABLE]
BIOPSY = "the biopsy came back and it is not cancer after all ."
BLIND = {"random": words("zoo la fa ti do"), "frequent": words("the the the .")}


def judge(found: str, original: str, **guesses: str) -> Verdict:
    return text_verdict(
        found.split(), original.split(), {name: g.split() for name, g in guesses.items()}
    )


def tokens(vocabulary: Vocabulary, text: str) -> list[str]:
    return vocabulary.words(vocabulary.encode(text, first=False)[:-1])


@pytest.fixture(scope="module")
def graded() -> list[tuple[dict[str, str], Verdict]]:
    """Return each row of the table and what the rule says of it, as in a run on the messages."""
    vocabulary = embedded_vocabulary()
    public = [tokens(vocabulary, text) for text in messages().test.texts]
    numbers = range(len(vocabulary))
    ordinary = vocabulary.words([n for n in numbers if not vocabulary.is_special(n)])
    baselines = TextBaselines(public, ordinary)
    rows = list(csv.DictReader(GRADED.read_text("utf-8").splitlines(), delimiter="\t"))
    pairs = [(tokens(vocabulary, r["guess"]), tokens(vocabulary, r["original"])) for r in rows]
    found = [text_verdict(guess, o, baselines.guesses(o)) for guess, o in pairs]
    return list(zip(rows, found, strict=True))


def test_the_agreement_that_is_stated(graded: list[tuple[dict[str, str], Verdict]]) -> None:
    """Every other pair chose the thresholds; the others did not."""
    right = [found == row["grade"] for row, found in graded]
    assert len(right) == 107
    assert (sum(right[::2]), len(right[::2])) == (54, 54)
    assert (sum(right[1::2]), len(right[1::2])) == (53, 53)


def test_no_word_is_off_by_more_than_a_step(graded: list[tuple[dict[str, str], Verdict]]) -> None:
    for row, found in graded:
        assert abs(ORDER.index(found) - ORDER.index(Verdict(row["grade"]))) <= 1, row


@pytest.mark.parametrize(
    ("kind", "right"),
    [
        ("exact", 5),
        ("near exact", 8),
        ("a detail wrong", 3),
        ("gist readable", 15),
        ("negation lost", 6),
        ("negation added", 1),
        ("shuffled", 9),
        ("function words", 6),
        ("blind", 5),
        ("public neighbour", 7),
        ("listing", 2),
    ],
)
def test_kinds_in_which_the_words_are_always_right(
    graded: list[tuple[dict[str, str], Verdict]], kind: str, right: int
) -> None:
    outcomes = [found == row["grade"] for row, found in graded if row["kind"] == kind]
    assert outcomes == [True] * right


def test_listing_the_vocabulary_finds_nothing() -> None:
    everything = [f"word{n}" for n in range(1000)] + BIOPSY.split()
    assert content_share(everything, BIOPSY.split()) < 2
    assert text_verdict(everything, BIOPSY.split(), BLIND) is Verdict.GUESSING


def test_a_lost_negation_is_not_read_rightly() -> None:
    assert judge(BIOPSY, BIOPSY) is Verdict.RECOGNISABLE
    assert judge(BIOPSY.replace("not ", "now "), BIOPSY) is Verdict.PARTLY
    assert judge("i don ' t owe the bank money", "i do owe the bank money") is Verdict.PARTLY


def test_pieces_are_no_words_of_their_own() -> None:
    """Half of a word's pieces are no word, and all of them are one."""
    original = words("the trans ##plan ##tation fail ##ure")
    assert content_share(words("the trans ##plan it fail my"), original) == 0.0
    assert content_share(words("it trans ##plan ##tation my the"), original) == pytest.approx(
        200 * 1 / (1 + 2)
    )


@pytest.mark.parametrize("seed", range(20))
def test_shuffled_texts_are_not_read(seed: int) -> None:
    original = words("nine brown horses jumped over seven lazy dogs near old london bridge")
    shuffled = np.random.default_rng(seed).permutation(original).tolist()
    assert text_verdict(original, original) is Verdict.RECOGNISABLE
    assert text_verdict(shuffled, original) is Verdict.PARTLY


def test_the_nearest_public_text_turns_no_leak_into_a_failure() -> None:
    """The truth chose it; a blind guess knows nothing of the truth."""
    original = "please transfer the money to my new account"
    found = original.replace("to my", "my my")
    assert judge(found, original, nearest=original) is Verdict.RECOGNISABLE
    assert judge(found, original, likeliest=original) is Verdict.GUESSING
    public = "please transfer the rent to my old account ."
    assert judge(public, original, nearest=public) is Verdict.PARTLY


@pytest.mark.parametrize(
    ("original", "found"),
    [
        ("the tumor is malignant", "the tumor is benign"),
        ("send it to account 448120", "send it to account 448121"),
        ("wire 4 , 200 today to my bank in rome", "wire 4 , 300 today to my bank in rome"),
        ("room 214 at 8 in the old hotel", "room 8 at 214 in the old hotel"),
        ("she lost three teeth in the fight", "she lost four teeth in the fight"),
        ("anna saw the forged contract", "peter saw the forged contract"),
    ],
)
def test_a_wrong_number_name_or_rare_word_is_not_read(original: str, found: str) -> None:
    assert judge(original, original) is Verdict.RECOGNISABLE
    assert judge(found, original) is Verdict.PARTLY


def test_one_weighty_word_of_a_short_secret_tells_something() -> None:
    original = "my daughter is pregnant and has told nobody"
    assert judge("she is pregnant", original) is Verdict.PARTLY
    assert judge("she is told", original) is Verdict.GUESSING


def test_synonyms_spellings_and_inflections_are_the_same_word() -> None:
    original = "the physician found a tumor in her colour scan and three doctors canceled it"
    found = "the doctor find a tumour in her color scans and 3 physicians cancelled it"
    assert judge(found, original) is Verdict.RECOGNISABLE


@pytest.mark.parametrize("name", ["random", "frequent", "model"])
def test_no_nearer_than_a_blind_guess(name: str) -> None:
    original = "please transfer the rent to my old account ."
    guess = "transfer my account to it"
    assert judge(guess, original) is Verdict.PARTLY
    assert judge(guess, original, **{name: guess}) is Verdict.GUESSING


def test_an_exact_copy() -> None:
    """It is read, also where a public text says the same, but not where anybody would guess it."""
    assert judge("call me", "call me", nearest="call me") is Verdict.RECOGNISABLE
    assert judge("call me", "call me", frequent="call me") is Verdict.GUESSING


def test_function_words_alone_say_little_unless_there_is_nothing_else() -> None:
    assert judge("the he and it is i after all", BIOPSY) is Verdict.GUESSING
    assert judge("i am with you", "i am with him") is not Verdict.GUESSING


@given(
    st.lists(st.sampled_from(["rent", "bank", "the", "not", "##s", "."]), max_size=8),
    st.lists(st.sampled_from(["rent", "bank", "the", "not", "##s", "."]), min_size=1, max_size=8),
)
def test_any_texts_have_a_word(found: list[str], original: list[str]) -> None:
    assert 0 <= content_share(found, original) <= 100
    assert text_verdict(found, original, {NEAREST: ["rent"], **BLIND}) in ORDER
    assert text_verdict([], original) is Verdict.GUESSING


def test_nothing_to_find() -> None:
    with pytest.raises(ValueError, match="without tokens"):
        text_verdict(["a"], [])


def test_the_function_words_can_still_be_imported_from_here() -> None:
    assert "the" in FUNCTION_WORDS
