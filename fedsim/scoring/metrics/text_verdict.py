"""Verdict on a reconstructed text: would a reader understand the private text?

The meaning of a message is in its content words: function words and punctuation, which any message
has, do not count by themselves. A text is recognisable if most of its content words are there, in
their order, and no negation was added or lost; it is partly known if some of them are there, more
than in a blind guess and in the nearest public text.

The thresholds were set by one reader's grades of 107 rebuilt texts, each written for one type
of outcome (exact, a word off, the gist, some words, a wrong entity, a lost negation, shuffled,
blind guesses, public neighbours) and graded before any score was seen. The thresholds were chosen
on every second one, by a search over a coarse grid. The verdicts agree with the grades for 48 of
those 54 and for 51 of the other 53; none is off by more than one step. A rule by the share of
content tokens and ROUGE-L alone, without the rules above on order, negations, whole words and
public texts, agreed for 79 of the 107. Grades and guesses are one person's, about short messages in
English: they show only that the verdicts are not arbitrary.

Known errors of the verdict:

- The word that matters most in a message ("to close the hospital" instead of the canteen) is only
  one wrong word here: the text is still called recognisable.
- A single content word counts as chance, even if it reveals everything ("HIV").
- The nearest public text may have the words that matter: an attack then gets no credit for finding
  them.
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
"""Minimum ROUGE-L of the content words for a reader to understand a message: three of four words.
Two of three ("launch" and "catalogue" of "the launch slips to the autumn catalogue") give only the
topic; a shuffled text's words are mostly out of order."""

RECOGNISABLE_ROUGE_L = 45.0
"""Minimum ROUGE-L of all words, which relate the content words to each other."""

PARTLY_CONTENT = 25.0
"""Minimum F1 of the content words, in any order, for partial leakage."""

PARTLY_WORDS = 2
"""Minimum number of content words for partial leakage, or all of a shorter text's."""

GAIN = 15.0
"""Minimum gain in content F1 over the best blind guess."""


def text_verdict(
    found: Sequence[str], reference: Sequence[str], blind: Mapping[str, Sequence[str]] | None = None
) -> Verdict:
    """Return the verdict on one text.

    An exact copy is recognisable unless a blind guess is exact too. A text whose content is not
    closer than the nearest public text counts as guessing: it could have come from there.

    Args:
        found: the reconstructed tokens.
        reference: the private tokens.
        blind: guesses at the same text, by name; all except ``"nearest"`` are blind.

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
    """Return the F1 of the content words of two texts, in %.

    If the private text has only function words, all words count. It has at least one token.
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
    """Return whether a reader understands the private text."""
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
