"""Drawings of a run on texts: emerging reconstructions."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from fedsim.log.schema import Moment
from fedsim.modalities.texts.sentences import coloured, drawing, plain
from fedsim.show.artefacts import Artefact, Artefacts, Ended
from fedsim.show.figures.files import replace_file

WIDTH = 110

Words = Sequence[str]


class TextArtefacts(Artefacts):
    """Drawings of each emerging text, in colours (SVG) and plain."""

    def of_victim(self, ended: Ended) -> Iterator[Artefact]:
        """Yield both drawings of each text with snapshots."""
        for score in ended.scores:
            moments = ended.moments.get(score.example, ())
            if moments:
                name, original = ended.name(score.example), score.original or ()
                yield Artefact(f"{name}.svg", partial(_in_colours, name, original, moments))
                yield Artefact(f"{name}.txt", partial(_in_words, original, moments))


def _in_colours(name: str, original: Words, moments: Sequence[Moment], path: Path) -> None:
    replace_file(path, drawing(_printed(original, moments), name).encode("utf-8"))


def _in_words(original: Words, moments: Sequence[Moment], path: Path) -> None:
    replace_file(path, _printed(original, moments).export_text().encode("utf-8"))


def _printed(original: Words, moments: Sequence[Moment]) -> Console:
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("evaluation", justify="right", style="dim")
    table.add_column("text")
    for number, tokens in moments:
        table.add_row(str(number), coloured(tokens, original))
    table.add_row("private", Text(plain(original)))
    console.print(table)
    return console
