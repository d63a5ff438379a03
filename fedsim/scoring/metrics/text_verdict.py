"""Verdict on a reconstructed text: would a reader understand the private text?

The meaning of a message is in its content words: function words and punctuation, which any message
has, do not count by themselves. Numbers, names and rare words count twice as much as common ones
("go", "last"). Words are compared in a normal form, so that inflections, spellings and synonyms are
the same word (`fedsim.scoring.metrics.lexicon`).

A text is recognisable if most of its content words are there, in their order, and it says nothing
false: no negation was added or lost, all numbers are there, and no weighty word was replaced by
another one. It is partly known if some of its weighty words are there, more than in a blind guess.
The nearest public text is not a blind guess, because the truth chose it: what a reader learns from
a reconstruction does not depend on it.

The thresholds were set by one reader's grades of 107 rebuilt texts, each written for one type
of outcome (exact, a word off, the gist, some words, a wrong entity, a lost negation, shuffled,
blind guesses, public neighbours) and graded before any score was seen. Seven grades were revised,
also before any score of this rule was seen: a wrong day, hour or number is not recognisable (3),
and what a public text says too is known all the same (4). The thresholds were chosen on every
second one, each in the range with the best agreement
(``python -m tests.fedsim.scoring.cases.calibrate`` prints the ranges). The verdicts agree with the
grades for all of those 54 and for all of the other 53; but the rules and the list of common words
were written by somebody who had read all 107. Grades and guesses are one person's, about short
messages in English: they show only that the verdicts are not arbitrary. For 32 further cases, of
which 31 agree, judged before the rules were written: ``tests/fedsim/scoring/cases/texts.py``.

Known errors of the verdict:

- A clause that moved breaks the order: the text is called partly known.
- Synonyms beyond the list, and paraphrases, are wrong words.
- A weighty word that is missing, not replaced, only lowers the share.
- Lower-case vocabularies do not show which words are names: all rare words count alike.
- Other languages have other function words, common words, negations and endings: there, all words
  count as weighty content.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from difflib import SequenceMatcher

from fedsim.core.names import NEAREST
from fedsim.log.schema import Verdict
from fedsim.scoring.metrics.lexicon import is_common, is_number, normal_forms
from fedsim.scoring.metrics.texts import score_text
from fedsim.scoring.metrics.words import FUNCTION_WORDS, NEGATIONS, whole_words

__all__ = ["FUNCTION_WORDS", "content_share", "text_verdict"]

RECOGNISABLE_CONTENT = 77.0
"""Minimum weighted ROUGE-L of the content words for a reader to understand a message: about four of
five words, or two of three if nothing is added. Fewer ("launch" and "catalogue" of "the launch
slips to the autumn catalogue") give only the topic; a shuffled text's words are mostly out of
order. The middle of the range with the best agreement (67 to 87)."""

RECOGNISABLE_ROUGE_L = 45.0
"""Minimum ROUGE-L of all words, which relate the content words to each other. Best: 45
and less."""

PARTLY_CONTENT = 25.0
"""Minimum weighted F1 of the content words, in any order, for partial leakage. Best: 17.5 to
32.5."""

PARTLY_COMMON = 2
"""Minimum number of words for partial leakage of a text without weighty words, or all of fewer."""

GAIN = 15.0
"""Minimum gain in content F1 over the best blind guess. Best: 0 to 30."""

WEIGHTY = 2
"""Weight of numbers, names and rare words, in units of a common content word."""


def text_verdict(
    found: Sequence[str], reference: Sequence[str], blind: Mapping[str, Sequence[str]] | None = None
) -> Verdict:
    """Return the verdict on one text.

    An exact copy is recognisable unless a blind guess is exact too.

    Args:
        found: the reconstructed tokens.
        reference: the private tokens.
        blind: guesses at the same text, by name; ``"nearest"`` is not a blind guess, and ignored.

    Raises:
        ValueError: the private text has no tokens.
    """
    if not reference:
        raise ValueError("a text without tokens cannot be judged against")
    guesses = [guess for name, guess in (blind or {}).items() if name != NEAREST]
    if list(found) == list(reference):
        known = any(list(guess) == list(reference) for guess in guesses)
        return Verdict.GUESSING if known else Verdict.RECOGNISABLE
    share = content_share(found, reference)
    guessed = max((content_share(guess, reference) for guess in guesses), default=0.0)
    if share < max(PARTLY_CONTENT, guessed + GAIN) or not _tells(found, reference):
        return Verdict.GUESSING
    return Verdict.RECOGNISABLE if _is_read(found, reference) else Verdict.PARTLY


def content_share(found: Sequence[str], reference: Sequence[str]) -> float:
    """Return the weighted F1 of the content words of two texts, in %.

    If the private text has only function words, all words count. It has at least one token.
    """
    guess, wanted = _content(_forms(found), _forms(reference))
    return 200 * _weight(_common(guess, wanted)) / (_weight(guess) + _weight(wanted))


def _forms(tokens: Sequence[str]) -> list[str]:
    return normal_forms(whole_words(tokens))


def _content(guess: list[str], wanted: list[str]) -> tuple[list[str], list[str]]:
    content = [word for word in wanted if word not in FUNCTION_WORDS]
    if not content:
        return guess, wanted
    return [word for word in guess if word not in FUNCTION_WORDS], content


def _common(one: Sequence[str], other: Sequence[str]) -> list[str]:
    return list((Counter(one) & Counter(other)).elements())


def _weight(words: Sequence[str]) -> int:
    return sum(WEIGHTY if _is_weighty(word) else 1 for word in words)


def _is_weighty(word: str) -> bool:
    return word not in FUNCTION_WORDS and word not in NEGATIONS and not is_common(word)


def _tells(found: Sequence[str], reference: Sequence[str]) -> bool:
    """Return whether the words that were found tell something of the private text."""
    guess, wanted = _content(_forms(found), _forms(reference))
    common = _common(guess, wanted)
    if any(_is_weighty(word) for word in wanted):
        return any(_is_weighty(word) for word in common)
    return len(common) >= min(PARTLY_COMMON, len(wanted))


def _is_read(found: Sequence[str], reference: Sequence[str]) -> bool:
    """Return whether a reader understands the private text."""
    guess, wanted = _forms(found), _forms(reference)
    if _says_false(guess, wanted):
        return False
    return (
        _in_order(*_content(guess, wanted)) >= RECOGNISABLE_CONTENT
        and score_text(guess, wanted).rouge_l >= RECOGNISABLE_ROUGE_L
    )


def _says_false(guess: list[str], wanted: list[str]) -> bool:
    """Return whether a negation, a number or a weighty word is not that of the private text."""
    if sum(word in NEGATIONS for word in guess) != sum(word in NEGATIONS for word in wanted):
        return True
    if [w for w in guess if is_number(w)] != [w for w in wanted if is_number(w)]:
        return True
    lost = Counter(wanted) - Counter(guess)
    added = Counter(guess) - Counter(wanted)
    return any(
        any(_is_weighty(word) and lost[word] for word in old)
        and any(word not in FUNCTION_WORDS and added[word] for word in new)
        for old, new in _replaced(guess, wanted)
    )


def _replaced(guess: list[str], wanted: list[str]) -> Iterator[tuple[list[str], list[str]]]:
    """Yield runs of private words, and the words that stand in their place."""
    matcher = SequenceMatcher(None, wanted, guess, autojunk=False)
    for kind, a, b, c, d in matcher.get_opcodes():
        if kind == "replace":
            yield wanted[a:b], guess[c:d]


def _in_order(guess: Sequence[str], wanted: Sequence[str]) -> float:
    """Return the weighted ROUGE-L of two lists of words, in %."""
    row = [0] * (len(wanted) + 1)
    for a in guess:
        before = 0
        for j, b in enumerate(wanted, start=1):
            gain = before + _weight([a])
            before, row[j] = row[j], gain if a == b else max(row[j], row[j - 1])
    return 200 * row[-1] / max(1, _weight(guess) + _weight(wanted))
