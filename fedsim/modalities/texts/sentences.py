"""Texts as people look at them: which recovered token is right."""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import StrEnum

from rich.console import Console
from rich.text import Text


class Mark(StrEnum):
    """What a recovered token is."""

    RIGHT = "right"
    CLOSE = "close"  # in the private text, but elsewhere
    WRONG = "wrong"


STYLES = {Mark.RIGHT: "bold green", Mark.CLOSE: "yellow", Mark.WRONG: "dim red strike"}
PIECE = "##"
"""What begins a piece of a word that goes on from the one before it."""


def mark(found: Sequence[str], original: Sequence[str]) -> list[Mark]:
    """Return what each recovered token is.

    Args:
        found: the recovered tokens, place by place.
        original: the private ones.
    """
    marks = []
    for place, token in enumerate(found):
        if place < len(original) and original[place] == token:
            marks.append(Mark.RIGHT)
        else:
            marks.append(Mark.CLOSE if token in original else Mark.WRONG)
    return marks


def coloured(found: Sequence[str], original: Sequence[str]) -> Text:
    """Return recovered tokens as a line for the terminal, coloured by their marks."""
    line = Text()
    for token, kind in zip(found, mark(found, original), strict=True):
        piece = token.startswith(PIECE)
        if len(line) and not piece:
            line.append(" ")
        line.append(token.removeprefix(PIECE) if piece else token, STYLES[kind])
    return line


def drawing(console: Console, title: str) -> str:
    """Return what a recording console printed as SVG, which asks no server for a font."""
    svg = console.export_svg(title=title, clear=False)
    style, end, rest = svg.partition("</style>")
    return re.sub(r"@font-face \{.*?\}\s*", "", style, flags=re.DOTALL) + end + rest


def plain(tokens: Sequence[str]) -> str:
    """Return tokens as a line, pieces of a word together."""
    return " ".join(tokens).replace(f" {PIECE}", "")
