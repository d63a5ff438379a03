"""The texts of a run: what was private, what was rebuilt, and how it emerged."""

from __future__ import annotations

import io
from functools import cache

from rich.console import Console
from rich.table import Table
from rich.text import Text
from torch import Tensor

from fedsim.engine.observer import TextReader
from fedsim.log.schema import ExampleScore
from fedsim.log.writer import RunLog
from fedsim.models import TextModel
from fedsim.scoring import Reader, Scored, Scorer
from fedsim.server.victims import Outcome, Victim
from fedsim.show.sentences import coloured, drawing, plain

WIDTH = 110

Moments = list[tuple[int, list[str]]]
"""How one text emerged: evaluations spent, and its tokens then."""


class Sentences:
    """Shows the texts of one run.

    Args:
        model: the model that reads them.
        log: the run's folder.
    """

    def __init__(self, model: TextModel, log: RunLog) -> None:
        self._reader, self._log = Reader(model), log

    def reader(self, scorer: Scorer) -> TextReader:
        """Return how those who watch read this run's texts.

        Args:
            scorer: knows what is private.
        """

        @cache
        def originals(victim: Victim) -> Tensor:
            return scorer.originals(victim)

        def read(victim: Victim, row: Tensor, text: int) -> list[str]:
            return self._reader.content(row, originals(victim)[text])

        @cache
        def private(victim: Victim) -> list[list[str]]:
            return [self._reader.content(row, row) for row in originals(victim)]

        return TextReader(read, private)

    def draw(self, outcome: Outcome, scored: Scored) -> list[Moments]:
        """Write how each text of one victim emerged, and return it, text by text."""
        whole = []
        for text, leakage in enumerate(scored.leakage):
            moments = self._moments(outcome, scored, text)
            whole.append(moments)
            if moments:
                suffix = f"-{text}" if len(scored.leakage) > 1 else ""
                draw_text(self._log, f"{outcome.victim.name}{suffix}", leakage, moments)
        return whole

    def _moments(self, outcome: Outcome, scored: Scored, text: int) -> Moments:
        if scored.matching is None:
            return []
        found, original = int(scored.matching[text]), scored.originals[text]
        history = outcome.reconstruction.history
        return [(s.evaluation, self._reader.content(s.data[found], original)) for s in history]


def draw_text(log: RunLog, name: str, leakage: ExampleScore, moments: Moments) -> None:
    """Write how one text emerged: in colours (SVG), and plain."""
    original = leakage.original or ()
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("evaluation", justify="right", style="dim")
    table.add_column("text")
    for number, tokens in moments:
        table.add_row(str(number), coloured(tokens, original))
    table.add_row("private", Text(plain(original)))
    console.print(table)
    svg = log.picture_path(f"{name}.svg")
    svg.write_text(drawing(console, name), encoding="utf-8")
    log.picture_path(f"{name}.txt").write_text(console.export_text(), encoding="utf-8")
