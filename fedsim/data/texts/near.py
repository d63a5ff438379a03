"""Near-duplicates of texts, which a data set may not have both in private and in public."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from fedsim.data.tokens import Texts

_WORD = re.compile(r"\w+")
_LONG = 4
"""Fewest letters of a word that counts: shorter ones are in any text. Numbers always count."""

_FEWEST = 3
"""Fewest words that count of texts that may differ in one of them."""


def without_near_duplicates(public: Texts, private: Iterable[str]) -> Texts:
    """Return public texts without those that are nearly the same as a private one.

    Two texts are nearly the same if they have the same words, in any order, or differ in one of at
    least three; words of fewer than four letters do not count, unless there are no others.
    """
    known = {key for text in private for key in _keys(text)}
    rows = [n for n, text in enumerate(public.texts) if known.isdisjoint(_keys(text))]
    return Texts(tuple(public.texts[n] for n in rows), tuple(public.labels[n] for n in rows))


def _keys(text: str) -> Iterator[frozenset[str]]:
    """Yield sets of words, one of which two texts share exactly if they are nearly the same."""
    everything = frozenset(_WORD.findall(text.lower()))
    words = frozenset(w for w in everything if len(w) >= _LONG or not w.isalpha()) or everything
    yield words
    if len(words) >= _FEWEST:
        yield from (words - {word} | {""} for word in words)
