"""Text in figures, in Pillow's bundled font, which every installation has."""

import unicodedata
from functools import lru_cache

from PIL import ImageFont

LINE_HEIGHT = 16
"""Pixels from one line to the next."""

_SIZE = 13
_ELLIPSIS = "..."
# Pillow's bundled font has little beyond ASCII; these replace the most frequent characters.
_STAND_INS = {
    **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2212", "-"),
    "\u00d7": "x",
    "\u2264": "<=",
    "\u2265": ">=",
    "\u2248": "~",
    "\u2192": "->",
    "\u03b1": "alpha",
    "\u03b2": "beta",
    "\u03b4": "delta",
    "\u03b5": "epsilon",
    "\u03bb": "lambda",
    "\u03bc": "u",
    "\u03c3": "sigma",
}


@lru_cache(maxsize=1)
def font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Return Pillow's bundled font, with which a figure looks the same on every machine."""
    return ImageFont.load_default(size=_SIZE)


def legible(text: str) -> str:
    """Return the text with replacements for characters that the bundled font lacks."""
    return "".join(_legible(character) for character in text)


def width_of(text: str) -> int:
    """Return the width in pixels of one line of legible text."""
    return round(font().getlength(text) + 0.5)


def wrap(text: str, width: int, max_lines: int) -> list[str]:
    """Return legible lines of at most ``width`` pixels, broken at spaces where there are any.

    Text beyond ``max_lines`` is omitted and replaced by an ellipsis.
    """
    lines: list[str] = []
    for paragraph in legible(text).split("\n"):
        line = ""
        for word in paragraph.split():
            joined = f"{line} {word}".strip()
            if line and width_of(joined) > width:
                lines.append(line)
                joined = word
            line = joined
        lines.append(line)
    if len(lines) > max_lines:
        lines[max_lines - 1 :] = [lines[max_lines - 1] + _ELLIPSIS]
    return [_cut(line, width) for line in lines]


def _cut(line: str, width: int) -> str:
    if width_of(line) <= width:
        return line
    kept = line.removesuffix(_ELLIPSIS)
    while kept and width_of(kept + _ELLIPSIS) > width:
        kept = kept[:-1]
    return kept.rstrip() + _ELLIPSIS


@lru_cache(maxsize=1024)
def _legible(character: str) -> str:
    if character.isspace() or _has_glyph(character):
        return character
    if character in _STAND_INS:
        return _STAND_INS[character]
    plain = "".join(c for c in unicodedata.normalize("NFKD", character) if _has_glyph(c))
    return plain or "?"


def _has_glyph(character: str) -> bool:
    return character.isprintable() and _mask(character) != _mask("\uffff")


@lru_cache(maxsize=1024)
def _mask(character: str) -> bytes:
    mask = font().getmask(character)
    return repr(mask.size).encode() + bytes(mask)
