"""Texts as parts of a page: tokens with their marks, and how they change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fedsim.modalities.texts.sentences import PIECE, mark


@dataclass(frozen=True)
class Token:
    """One token of a line.

    Attributes:
        text: as a person reads it.
        joined: whether it goes on from the one before it.
        mark: right, close or wrong; empty in what was private itself.
    """

    text: str
    joined: bool
    mark: str = ""


def private_line(tokens: Sequence[str]) -> list[Token]:
    """Return a private text."""
    return [_token(token) for token in tokens]


def found_line(found: Sequence[str], original: Sequence[str]) -> list[Token]:
    """Return a rebuilt text, each token marked."""
    marks = mark(found, original)
    return [_token(token, kind.value) for token, kind in zip(found, marks, strict=True)]


def packed(lines: Sequence[Sequence[Token]]) -> dict[str, object]:
    """Return lines for the page's script: each different token once, and lines of their places.

    A token is its text, whether it is joined, and its mark.
    """
    places: dict[Token, int] = {}
    rows = [[places.setdefault(token, len(places)) for token in line] for line in lines]
    return {"tokens": [[t.text, t.joined, t.mark] for t in places], "rows": rows}


def _token(token: str, kind: str = "") -> Token:
    joined = token.startswith(PIECE) and token != PIECE
    return Token(token.removeprefix(PIECE) if joined else token, joined, kind)
