"""A rebuilt text's scores in a word: what would a reader know?

What a message says is in its content words: function words and punctuation, which any message has,
count for nothing by themselves. A text is recognisable if most of its content words are there, in
their order, and nothing is denied that was not; partly known if some of them are, beyond what a
blind guess and the nearest public text have.

The thresholds were set by one reader's grades of 107 rebuilt texts, each made up for a kind of
outcome (exact, a word off, the gist, some words, a wrong entity, a lost negation, shuffled, blind
guesses, public neighbours) and graded before any score was seen: on every other one the thresholds
were chosen, by a search over a coarse grid. The words agree with the grades for 48 of those 54 and
for 51 of the other 53; none is off by more than one step. A rule by the share of content tokens and
ROUGE-L alone, without what is said above of order, negations, whole words and public texts, agreed
for 79 of the 107. Grades and guesses are one person's, about short messages in English:
they show that the words are not arbitrary, and no more.

What to keep in mind, where the words are wrong:

- One wrong word that is the point of a message ("to close the hospital" for the canteen) is one
  wrong word here: the text is still called recognisable.
- A single content word counts as chance, even where it tells all ("HIV").
- A public text that was picked for its likeness may have the words that matter: what an attack
  found of them then counts for nothing.
- Other languages have other function words and negations: there, all words count as content.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from fedsim.core.names import NEAREST
from fedsim.log.schema import Verdict
from fedsim.scoring.metrics.texts import score_text
from fedsim.scoring.metrics.words import FUNCTION_WORDS, NEGATIONS, whole_words

__all__ = ["FUNCTION_WORDS", "content_share", "text_verdict"]

RECOGNISABLE_CONTENT = 72.0
"""ROUGE-L of the content words from which a reader knows what a message says: three of four. With
two of three ("launch" and "catalogue" of "the launch slips to the autumn catalogue") it is a
topic; a shuffled text's words are mostly out of order."""

RECOGNISABLE_ROUGE_L = 45.0
"""Least ROUGE-L of all words: how the content words belong together."""

PARTLY_CONTENT = 25.0
"""F1 of the content words, wherever they stand, that gives something away."""

PARTLY_WORDS = 2
"""Least content words besides, if the text has so many: chance gives short texts one."""

GAIN = 15.0
"""How much more of the content than the best blind guess."""


def text_verdict(
    found: Sequence[str], reference: Sequence[str], blind: Mapping[str, Sequence[str]] | None = None
) -> Verdict:
    """Return the word for one text.

    An exact copy is recognisable unless a blind guess is one too. Else what is not nearer by its
    content than the nearest public text is guessing: it could have come from there.

    Args:
        found: the rebuilt tokens.
        reference: the private ones.
        blind: guesses at the same text, by name; all but ``"nearest"`` are blind.

    Raises:
        ValueError: the private text has no tokens.
    """
    if not reference:
        raise ValueError("a text without tokens cannot be judged against")
    guesses = dict(blind or {})
    nearest = guesses.pop(NEAREST, [])
    if list(found) == list(reference):
        known = any(list(guess) == list(reference) for guess in guesses.values())
        return Verdict.GUESSING if known else Verdict.RECOGNISABLE
    share = content_share(found, reference)
    guessed = max((content_share(guess, reference) for guess in guesses.values()), default=0.0)
    public = content_share(nearest, reference)
    if share < max(PARTLY_CONTENT, guessed + GAIN) or share <= public:
        return Verdict.GUESSING
    if _common(*_content(found, reference)) < min(PARTLY_WORDS, len(_content([], reference)[1])):
        return Verdict.GUESSING
    return Verdict.RECOGNISABLE if _is_read(found, reference) else Verdict.PARTLY


def content_share(found: Sequence[str], reference: Sequence[str]) -> float:
    """Return how many content words two texts have in common, as an F1 in %.

    Of a private text of function words alone all words count. It has at least one token.
    """
    guess, wanted = _content(found, reference)
    return 200 * _common(guess, wanted) / (len(guess) + len(wanted))


def _content(found: Sequence[str], reference: Sequence[str]) -> tuple[list[str], list[str]]:
    guess, wanted = whole_words(found), whole_words(reference)
    content = [word for word in wanted if word not in FUNCTION_WORDS]
    if not content:
        return guess, wanted
    return [word for word in guess if word not in FUNCTION_WORDS], content


def _common(one: Sequence[str], other: Sequence[str]) -> int:
    return sum((Counter(one) & Counter(other)).values())


def _is_read(found: Sequence[str], reference: Sequence[str]) -> bool:
    """Return whether a reader knows what the private text says."""
    guess, wanted = whole_words(found), whole_words(reference)
    if _negations(guess) != _negations(wanted):
        return False
    in_order = score_text(*_content(found, reference)).rouge_l
    return (
        in_order >= RECOGNISABLE_CONTENT
        and score_text(guess, wanted).rouge_l >= RECOGNISABLE_ROUGE_L
    )


def _negations(words: Sequence[str]) -> int:
    return sum(word in NEGATIONS for word in words)
