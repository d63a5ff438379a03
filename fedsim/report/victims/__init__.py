"""What was attacked, one view for each kind of private data.

A view turns the records of a run into cards, and has a template of its own that shows one card.
A further kind of data is a module with a view and a template, and a line in `VIEWS`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from fedsim.report.log import Run
from fedsim.report.victims.cards import Card
from fedsim.report.victims.compared import Compared, Step
from fedsim.report.victims.pictures import PictureView


class View(Protocol):
    """How one kind of private data is shown.

    Attributes:
        noun: what one piece of it is called, singular and plural.
        template: shows one card of it.
        compared_template: shows one piece of it under a defense at all strengths.
    """

    noun: tuple[str, str]
    template: str
    compared_template: str

    def cards(self, run: Run) -> list[Card]:
        """Return a card for each private piece of data that was attacked."""
        ...

    def compared(
        self, label: str, stage: str, server_round: int, steps: Sequence[Step]
    ) -> Compared | None:
        """Return one piece of it under a defense at all strengths; None if there is none."""
        ...


PICTURES = "pictures"
VIEWS: dict[str, View] = {PICTURES: PictureView()}


def view_of(run: Run) -> View:
    """Return the view for the kind of data that a run's first record names."""
    return VIEWS[run.start.get("data_kind", PICTURES)]


__all__ = ["VIEWS", "Card", "Compared", "Step", "View", "view_of"]
