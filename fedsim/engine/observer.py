"""Those who watch a run."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from fedsim.attacks import Progress
from fedsim.log.schema import LogRecord
from fedsim.scenario import Scenario
from fedsim.server.victims import Victim


@dataclass(frozen=True)
class TextReader:
    """How those who watch read texts.

    They may know what is private, as the audience of a play does; no attack sees it.

    Attributes:
        read: returns tokens as they are shown, from a victim, a row of tokens, and the position
            of the private text that they are held against.
        private: returns the private texts of a victim.
    """

    read: Callable[[Victim, Tensor, int], list[str]]
    private: Callable[[Victim], list[list[str]]]


class Observer:
    """Watches a run and does nothing; subclasses show something.

    Records and progress may come from different threads.
    """

    folder: Path | None = None
    """Where the run's files are; None until it has begun."""

    def on_start(self, scenario: Scenario, folder: Path) -> None:
        """Say that a run begins."""
        self.folder = folder

    def on_reader(self, reader: TextReader) -> None:
        """Take note of how to read the tokens of a run on texts."""

    def on_record(self, record: LogRecord) -> None:
        """Show a record that the run log has just taken."""

    def on_victims(self, victims: Sequence[Victim]) -> None:
        """Say whom the adversary attacks next."""

    def on_progress(self, victims: Sequence[Victim], progress: Progress) -> None:
        """Show a running attack; `Progress.victims` are positions in ``victims``."""
