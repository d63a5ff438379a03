"""Figures of the same private text under every defense at every strength."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from itertools import groupby
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from fedsim.log.victims import Look
from fedsim.modalities.texts.sentences import Mark, coloured, drawing, mark, plain
from fedsim.show.terminal.table import NOTHING

_WIDTH = 120
_SIGNS = {Mark.RIGHT: ("", ""), Mark.CLOSE: ("~", "~"), Mark.WRONG: ("[", "]")}

Marked = Callable[[Sequence[str], Sequence[str]], Text]
"""Function that marks reconstructed tokens by comparison with the private ones."""


def draw_texts(found: Sequence[Look], stem: Path) -> list[Path]:
    """Write a private text and its reconstruction under each defense, in colours and plain.

    Args:
        found: one for each defense and strength, in order.
        stem: the files' path without an ending.

    Returns:
        The paths of the SVG and the text file.
    """
    svg, text = stem.with_name(f"{stem.name}.svg"), stem.with_name(f"{stem.name}.txt")
    console = _printed(found, coloured)
    svg.write_text(drawing(console, stem.name), "utf-8")
    legend = "correct  ~in the text, but elsewhere~  [wrong]\n\n"
    text.write_text(legend + _printed(found, bracketed).export_text(), "utf-8")
    return [svg, text]


def bracketed(found: Sequence[str], original: Sequence[str]) -> Text:
    """Return a reconstructed text with signs around its tokens; equal neighbours share signs."""
    parts = []
    pairs = zip(mark(found, original), found, strict=True)
    for kind, tokens in groupby(pairs, key=lambda pair: pair[0]):
        before, after = _SIGNS[kind]
        parts.append(f"{before}{plain([token for _, token in tokens])}{after}")
    return Text(plain(parts))


def _printed(found: Sequence[Look], marked: Marked) -> Console:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("defense")
    table.add_column("strength", justify="right")
    table.add_column("text", ratio=1)
    table.add_column("right", justify="right")
    table.add_column("verdict")
    before = None
    for original, looks in _by_text(found):
        table.add_row("private", "", Text(plain(original), style="bold"))
        for look in looks:
            name = "" if look.place.label == before else look.place.label
            table.add_row(Text(name), Text(look.strength), *_rebuilt(look, marked))
            before = look.place.label
    console = Console(record=True, width=_WIDTH, file=io.StringIO(), force_terminal=True)
    console.print(table)
    return console


def _by_text(found: Sequence[Look]) -> list[tuple[Sequence[str], list[Look]]]:
    """Group victims by their private text, because cells may differ in clients or batches."""
    parts: list[tuple[Sequence[str], list[Look]]] = []
    for look in found:
        original = look.leakage.score.original or ()
        if not parts or parts[-1][0] != original:
            parts.append((original, []))
        parts[-1][1].append(look)
    return parts


def _rebuilt(look: Look, marked: Marked) -> tuple[Text, str, str]:
    score = look.leakage.score
    figure = score.figure(look.measure)
    if score.found is None or figure is None:
        return Text("nothing", style="dim"), NOTHING, score.meaning
    line = marked(score.found, score.original or ())
    return line, look.measure.show(figure), score.meaning
