"""What can be said of a text without its gradient."""

from fedsim.core.names import NEAREST
from fedsim.scoring.metrics.text_baselines import FREQUENT, LIKELIEST, MODEL, RANDOM, TextBaselines


def words(text: str) -> list[str]:
    return text.split()


PUBLIC = [
    words("the rent is due"),
    words("the bank is closed today"),
    words("my cat is ill"),
    [],
]
VOCABULARY = sorted({word for text in PUBLIC for word in text} | {"lisbon", "priest"})


def test_names_and_lengths() -> None:
    original = words("a b c d e f")
    guesses = TextBaselines(PUBLIC, VOCABULARY).guesses(original)
    assert set(guesses) == {RANDOM, FREQUENT, LIKELIEST, NEAREST}
    assert len(guesses[RANDOM]) == len(guesses[FREQUENT]) == 6
    assert set(guesses[RANDOM]) <= set(VOCABULARY)


def test_the_most_frequent_word_at_each_place() -> None:
    """Beyond the longest public text it is the most frequent of all."""
    guess = TextBaselines(PUBLIC, VOCABULARY).guesses(words("a b c d e f g"))[FREQUENT]
    assert guess[0] == "the"
    assert guess[2] == "is"
    assert guess[4:] == ["today", "is", "is"]


def test_the_nearest_public_text() -> None:
    baselines = TextBaselines(PUBLIC, VOCABULARY)
    assert baselines.guesses(words("the bank is bankrupt"))[NEAREST] == PUBLIC[1]
    assert baselines.guesses(words("my dog is ill"))[NEAREST] == PUBLIC[2]


def test_a_public_text_is_not_its_own_nearest() -> None:
    baselines = TextBaselines(PUBLIC, VOCABULARY)
    assert baselines.guesses(PUBLIC[1])[NEAREST] == PUBLIC[1]
    assert baselines.guesses(PUBLIC[1], own=[1])[NEAREST] == PUBLIC[0]
    assert NEAREST not in baselines.guesses(PUBLIC[1], own=[0, 1, 2])


def test_random_draws_are_the_same_for_every_text_of_a_length() -> None:
    """A guess that knew the text would be none: at most which of 20 draws is told by it."""
    one = TextBaselines(PUBLIC, VOCABULARY)
    assert one.guesses(["q"] * 5) == TextBaselines(PUBLIC, VOCABULARY).guesses(["q"] * 5)
    assert one.guesses(["q"] * 5)[RANDOM] != one.guesses(["q"] * 6)[RANDOM][:5]


def test_what_the_model_says() -> None:
    baselines = TextBaselines(PUBLIC, VOCABULARY, lambda length: ["rent"] * length)
    assert baselines.guesses(["a", "b"])[MODEL] == ["rent", "rent"]


def test_the_likeliest_text_of_a_class_and_a_length() -> None:
    """It knows the class, the length and no public text that serves as private data."""
    baselines = TextBaselines(PUBLIC, VOCABULARY, kinds=[0, 0, 1, 1])
    assert baselines.guesses(["q"] * 4, kind=1)[LIKELIEST] == words("my cat is ill")
    assert baselines.guesses(["q"] * 4, kind=0)[LIKELIEST] == words("the rent is due")
    assert baselines.guesses(["q"] * 4, own=[0], kind=0)[LIKELIEST][:3] == words("the bank is")
    assert len(baselines.guesses(["q"] * 9)[LIKELIEST]) == 9
    assert LIKELIEST not in baselines.guesses(["q"], own=[0, 1, 2])
