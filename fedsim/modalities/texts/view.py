"""View of texts in reports and terminals."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, cast

from rich.table import Table
from rich.text import Text

from fedsim.log.run import Run
from fedsim.log.schema import LeakageRecord, ReconstructionRecord
from fedsim.log.victims import Look
from fedsim.modalities.texts.cards import compare_texts, text_cards
from fedsim.modalities.texts.comparison import draw_texts
from fedsim.modalities.texts.lines import found_line, private_line
from fedsim.modalities.texts.measure import TOKENS
from fedsim.modalities.texts.sentences import coloured, plain
from fedsim.show.report.victims.cards import Card
from fedsim.show.report.victims.compared import Compared, Step
from fedsim.show.terminal.table import STYLES
from fedsim.show.view import Chosen, Frame, View

_THUMBNAIL = 12
"""Maximum number of tokens of a text in an index."""

Words = Sequence[str]


class TextView(View):
    """View of texts, token by token."""

    noun = ("text", "texts")
    template = "texts/card.html"
    compared_template = "texts/compared.html"
    thumbnail_template = "texts/thumbnail.html"
    legend = "texts/legend.html"
    readable_in_a_pipe = True
    columns: ClassVar[tuple[str, ...]] = (
        *("token_accuracy", "rouge_l", "bag_recall"),
        *("exact", "edit_distance"),
    )

    def cards(self, run: Run) -> list[Card]:
        """Return a card for each attacked text."""
        return text_cards(run)

    def compared(
        self, label: str, stage: str, server_round: int, steps: Sequence[Step]
    ) -> Compared | None:
        """Return the same text under a defense at all strengths, or None."""
        return compare_texts(label, stage, server_round, steps)

    def thumbnail(self, run: Run, leakage: LeakageRecord, found: ReconstructionRecord) -> object:
        """Return a private text and its reconstruction, shortened."""
        original = leakage.score.original or ()
        lines = private_line(original), found_line(leakage.score.found or (), original)
        return [(line[:_THUMBNAIL], len(line) > _THUMBNAIL) for line in lines]

    def same_victim(self, found: Sequence[Look], stem: Path) -> list[Path]:
        """Write a private text and its reconstructions under all defenses, in colours and plain."""
        return draw_texts(found, stem)

    def gallery(self, run: Run, chosen: Sequence[Chosen]) -> Table | None:
        """Return private texts and their reconstructions."""
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
        table.add_column(style="bold")
        table.add_column()
        table.add_column(justify="right", no_wrap=True)
        for one in chosen:
            score = one.leakage.score
            original, found = score.original or (), Text("nothing", style="dim")
            if score.found is not None:
                found = coloured(score.found, original)
            figure = score.figure(TOKENS)
            note = score.meaning if figure is None else f"{score.meaning} {TOKENS.show(figure)}"
            table.add_row(Text(one.name), Text(plain(original), style="dim"), "")
            table.add_row("", found, Text(note, style=STYLES[score.meaning]))
        return table if chosen else None

    def frames(self, frames: Sequence[Frame], width: int, height: int) -> Table:
        """Return the texts, each below the private one, as many as fit."""
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
        table.add_column(style="bold", no_wrap=True)
        table.add_column()
        table.add_column(no_wrap=True)
        for frame in frames[: max(1, height // 3)]:
            original, found = cast("Words", frame.private), cast("Words", frame.found)
            table.add_row(frame.title, Text(plain(original), style="dim"), "")
            table.add_row("", coloured(found, original), Text(frame.note, style=frame.style))
            table.add_row("")
        return table
