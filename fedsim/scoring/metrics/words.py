"""Words of a text, and lists of function words and negations."""

from __future__ import annotations

from collections.abc import Sequence

_FUNCTION_WORDS = """
    a about after again all also am an and any are as at be because been before being but by can
    could d did didn do does doesn doing don down each for from had has have having he her here
    him his how i if in into is it its just ll m me more most my now of off on once only or
    other our out over own please re s she should so some such than that the their them then
    there these they this those through to too under until up us ve very was we were what when
    where which while who why will with would you your
    . , ! ? ; : ' " - ( ) / $ % & #
"""

FUNCTION_WORDS = frozenset(_FUNCTION_WORDS.split())
"""English function words and punctuation, which any message has. Negations do not count as function
words: they reverse the meaning."""

_NEGATIONS = "cannot neither never no nobody none nor not nothing t without"  # t as in don't

NEGATIONS = frozenset(_NEGATIONS.split())
"""English negations."""

_PIECE = "##"  # WordPiece: continues the previous token
_SPACE = "Ġ"  # byte-level BPE: preceded by a space


def whole_words(tokens: Sequence[str]) -> list[str]:
    """Return the words of a text in lower case, each joined from its pieces.

    Args:
        tokens: tokens of WordPiece, or of GPT-2's byte-level BPE, where letters without a leading
            space continue the letters before them.
    """
    spaced = any(token.startswith(_SPACE) for token in tokens)
    words: list[str] = []
    for token in tokens:
        text = token.removeprefix(_PIECE).removeprefix(_SPACE).lower()
        follows = token.startswith(_PIECE)
        if spaced and not token.startswith(_SPACE):
            follows = bool(words) and words[-1][-1:].isalnum() and text[:1].isalnum()
        if follows and words:
            words[-1] += text
        else:
            words.append(text)
    return words
