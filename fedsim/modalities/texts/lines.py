"""Texts embedded in a page: marked tokens, and their changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fedsim.modalities.texts.sentences import PIECE, mark


@dataclass(frozen=True)
class Token:
    """One token of a line.

    Attributes:
        text: displayed text.
        joined: whether it continues the previous token.
        mark: right, close or wrong; empty in private texts.
    """

    text: str
    joined: bool
    mark: str = ""


def private_line(tokens: Sequence[str]) -> list[Token]:
    """Return a private text as tokens without marks."""
    return [_token(token) for token in tokens]


def found_line(found: Sequence[str], original: Sequence[str]) -> list[Token]:
    """Return a reconstructed text as marked tokens."""
    marks = mark(found, original)
    return [_token(token, kind.value) for token, kind in zip(found, marks, strict=True)]


def packed(lines: Sequence[Sequence[Token]]) -> dict[str, object]:
    """Return lines for the page's script: each different token once, and lines of their indices.

    A token is its text, whether it is joined, and its mark.
    """
    places: dict[Token, int] = {}
    rows = [[places.setdefault(token, len(places)) for token in line] for line in lines]
    return {"tokens": [[t.text, t.joined, t.mark] for t in places], "rows": rows}


def _token(token: str, kind: str = "") -> Token:
    joined = token.startswith(PIECE) and token != PIECE
    return Token(token.removeprefix(PIECE) if joined else token, joined, kind)
