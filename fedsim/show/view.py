"""Base class of the views of modalities, in reports and in terminals."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from fedsim.core.modality import MODALITIES
from fedsim.log.run import Run
from fedsim.log.schema import NAIVE, LeakageRecord, ReconstructionRecord
from fedsim.log.victims import Look
from fedsim.show.report.victims.cards import Card
from fedsim.show.report.victims.compared import Compared, Step


@dataclass
class Frame:
    """One example under attack.

    Attributes:
        title: the client group.
        attacker: naive or adaptive.
        private, found: the private example and the dummy, in the form of the modality's judge.
        note: the fit, or finally the score.
        style: style of the note.
        running: whether it is still under attack.
    """

    title: str
    attacker: str
    private: object
    found: object
    note: str
    style: str = "cyan"
    running: bool = True


@dataclass(frozen=True)
class Chosen:
    """One example of a finished run, for a terminal."""

    leakage: LeakageRecord
    found: ReconstructionRecord

    @property
    def name(self) -> str:
        """Label: the client group, plus the attacker unless it is naive."""
        who, attacker = self.leakage.who, self.leakage.attacker
        return who if attacker == NAIVE else f"{attacker}: {who}"


class View(ABC):
    """View of one modality.

    Templates are named ``"<modality>/<file>"``, for a file in the folder ``templates`` beside the
    module of the view. A view that only defines the card shows only figures.

    Attributes:
        noun: noun for one example, singular and plural.
        template: template of one card.
        compared_template: template of one example under a defense at all strengths.
        thumbnail_template: template of one example and its reconstruction, in an index.
        legend: template that explains the marks of a card, or None.
        columns: metrics of a score that come first in the file of all scores.
        readable_in_a_pipe: whether the gallery says as much without a terminal.
    """

    noun: ClassVar[tuple[str, str]]
    template: ClassVar[str]
    compared_template: ClassVar[str] = ""
    thumbnail_template: ClassVar[str] = ""
    legend: ClassVar[str | None] = None
    columns: ClassVar[tuple[str, ...]] = ()
    readable_in_a_pipe: ClassVar[bool] = False

    @abstractmethod
    def cards(self, run: Run) -> Sequence[Card]:
        """Return a card for each attacked example.

        Raises:
            RunError: a record names a path outside the run folder, or a file without tensors.
        """

    def compared(
        self, label: str, stage: str, server_round: int, steps: Sequence[Step]
    ) -> Compared | None:
        """Return one example under a defense at all strengths, or None.

        Args:
            label: the defense.
            stage: name of the stage.
            server_round: the round of the stage.
            steps: the strengths, the weakest first.
        """
        return None

    def thumbnail(
        self, run: Run, leakage: LeakageRecord, found: ReconstructionRecord
    ) -> object | None:
        """Return the value for the template of an index, or None if the log does not have it."""
        return None

    def same_victim(self, found: Sequence[Look], stem: Path) -> list[Path]:
        """Write the files that show one example under all defenses of a comparison.

        Args:
            found: one for each defense and strength, in order.
            stem: path of the files without an ending.

        Returns:
            The paths of the files.

        Raises:
            RunError: a record names a path outside its run folder, or a file without tensors.
        """
        return []

    def gallery(self, run: Run, chosen: Sequence[Chosen]) -> RenderableType | None:
        """Return examples of a finished run for a terminal, or None."""
        return None

    def frames(self, frames: Sequence[Frame], width: int, height: int) -> RenderableType:
        """Return examples under attack, as many as fit; by default, only their notes.

        Args:
            frames: at least one.
            width: width of the terminal, in characters.
            height: number of lines for all of them.
        """
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
        for frame in frames[: max(1, height)]:
            table.add_row(frame.title, frame.attacker, Text(frame.note, style=frame.style))
        return table


def view_of(run: Run) -> View:
    """Return the view of a run's modality."""
    view: View = MODALITIES.get(run.start.modality).part("view")()
    return view
