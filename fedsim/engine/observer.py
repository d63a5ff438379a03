"""Those who watch a run."""

from collections.abc import Sequence
from pathlib import Path

from attacks import Progress
from fedsim.runlog import Record
from fedsim.scenario import Scenario
from server.victims import Victim


class Observer:
    """Watches a run and does nothing; subclasses show something.

    Records and progress may come from different threads.
    """

    folder: Path | None = None
    """Where the run's files are; None until it has begun."""

    def on_start(self, scenario: Scenario, folder: Path) -> None:
        """Say that a run begins."""
        self.folder = folder

    def on_record(self, record: Record) -> None:
        """Show a record that the run log has just taken."""

    def on_victims(self, victims: Sequence[Victim]) -> None:
        """Say whom the adversary attacks next."""

    def on_progress(self, victims: Sequence[Victim], progress: Progress) -> None:
        """Show a running attack; `Progress.victims` are positions in ``victims``."""
