"""Texts with a mark on each reconstructed token."""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import StrEnum

from rich.console import Console
from rich.text import Text


class Mark(StrEnum):
    """Mark of a reconstructed token."""

    RIGHT = "right"
    CLOSE = "close"  # in the private text, but elsewhere
    WRONG = "wrong"


STYLES = {Mark.RIGHT: "bold green", Mark.CLOSE: "yellow", Mark.WRONG: "dim red strike"}
PIECE = "##"
"""Prefix of a token that continues the word of the previous token."""


def mark(found: Sequence[str], original: Sequence[str]) -> list[Mark]:
    """Return the mark of each reconstructed token.

    Args:
        found: the reconstructed tokens in order of position.
        original: the private tokens.
    """
    marks = []
    for place, token in enumerate(found):
        if place < len(original) and original[place] == token:
            marks.append(Mark.RIGHT)
        else:
            marks.append(Mark.CLOSE if token in original else Mark.WRONG)
    return marks


def coloured(found: Sequence[str], original: Sequence[str]) -> Text:
    """Return reconstructed tokens as a line for the terminal, coloured by their marks."""
    line = Text()
    for token, kind in zip(found, mark(found, original), strict=True):
        piece = token.startswith(PIECE)
        if len(line) and not piece:
            line.append(" ")
        line.append(token.removeprefix(PIECE) if piece else token, STYLES[kind])
    return line


def drawing(console: Console, title: str) -> str:
    """Return the output of a recording console as an SVG that loads no external font."""
    svg = console.export_svg(title=title, clear=False)
    style, end, rest = svg.partition("</style>")
    return re.sub(r"@font-face \{.*?\}\s*", "", style, flags=re.DOTALL) + end + rest


def plain(tokens: Sequence[str]) -> str:
    """Return tokens as a line, with the pieces of a word joined."""
    return " ".join(tokens).replace(f" {PIECE}", "")
