"""What was attacked, one view for each kind of private data.

A view turns the records of a run into cards, and has a template of its own that shows one card.
A further kind of data is a module with a view and its templates, and a line in `VIEWS`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from fedsim.core.modality import PICTURES, TEXTS
from fedsim.log.run import Run
from fedsim.log.schema import LeakageRecord, ReconstructionRecord
from fedsim.show.report.victims.cards import Card
from fedsim.show.report.victims.compared import Compared, Step
from fedsim.show.report.victims.pictures import PictureView
from fedsim.show.report.victims.texts import TextView


class View(Protocol):
    """How one kind of private data is shown.

    Attributes:
        noun: what one piece of it is called, singular and plural.
        template: shows one card of it.
        compared_template: shows one piece of it under a defense at all strengths.
        thumbnail_template: shows one piece of it and what was rebuilt, in an index.
        legend: a template that explains the marks of both; None if there are none.
        columns: metrics of a score that stand in the file of all scores.
    """

    noun: tuple[str, str]
    template: str
    compared_template: str
    thumbnail_template: str
    legend: str | None
    columns: tuple[str, ...]

    def cards(self, run: Run) -> list[Card]:
        """Return a card for each private piece of data that was attacked."""
        ...

    def compared(
        self, label: str, stage: str, server_round: int, steps: Sequence[Step]
    ) -> Compared | None:
        """Return one piece of it under a defense at all strengths; None if there is none."""
        ...

    def thumbnail(
        self, run: Run, leakage: LeakageRecord, found: ReconstructionRecord
    ) -> object | None:
        """Return what the template for an index shows; None if the log does not hold it."""
        ...


VIEWS: dict[str, View] = {PICTURES: PictureView(), TEXTS: TextView()}


def view_of(run: Run) -> View:
    """Return the view for the modality that a run's first record names."""
    return VIEWS[run.start.modality]


__all__ = ["VIEWS", "Card", "Compared", "Step", "View", "view_of"]
