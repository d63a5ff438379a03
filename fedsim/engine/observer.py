"""Observers of a run."""

from collections.abc import Callable, Sequence
from pathlib import Path

from torch import Tensor

from fedsim.attacks import Progress
from fedsim.log.schema import LogRecord
from fedsim.scenario import Scenario
from fedsim.server.victims import Victim

Reader = Callable[[Victim, Tensor, int], tuple[object, object]]
"""``(victim, example, position)``: returns the private example at a position in the victim's batch,
and what an attack holds for it, as the view of the modality shows them.

Those who watch may know the private data, as the audience of a play does; no attack sees them.
"""


class Observer:
    """Base class of observers; it does nothing.

    Records and progress may come from different threads.
    """

    folder: Path | None = None
    """The run folder; None until the run has begun."""
    _attacked: int | None = None

    def on_start(self, scenario: Scenario, folder: Path) -> None:
        """Handle the start of a run."""
        self.folder, self._attacked = folder, None

    def on_reader(self, reader: Reader) -> None:
        """Take note of how to read what an attack holds."""

    def on_record(self, record: LogRecord) -> None:
        """Handle a record that was just written to the log."""

    def on_victims(self, victims: Sequence[Victim]) -> None:
        """Handle the next victims: the naive attacker's of a round, then the others of it."""

    def begins_round(self, victims: Sequence[Victim]) -> bool:
        """Return whether these are the first victims of their round; asked once for each call."""
        before, self._attacked = self._attacked, victims[0].server_round
        return before != self._attacked

    def on_progress(self, victims: Sequence[Victim], progress: Progress) -> None:
        """Handle the progress of an attack; `Progress.victims` are indices of ``victims``."""

    def on_round_attacked(self, server_round: int) -> None:
        """Take note that all attacks of a round have ended and are in the log."""


class Observers(Observer):
    """Several observers as one, told in order.

    Args:
        observers: the observers.
    """

    def __init__(self, *observers: Observer) -> None:
        self._observers = observers

    def on_start(self, scenario: Scenario, folder: Path) -> None:
        """Tell each."""
        super().on_start(scenario, folder)
        for each in self._observers:
            each.on_start(scenario, folder)

    def on_reader(self, reader: Reader) -> None:
        """Tell each."""
        for each in self._observers:
            each.on_reader(reader)

    def on_record(self, record: LogRecord) -> None:
        """Tell each."""
        for each in self._observers:
            each.on_record(record)

    def on_victims(self, victims: Sequence[Victim]) -> None:
        """Tell each."""
        for each in self._observers:
            each.on_victims(victims)

    def on_progress(self, victims: Sequence[Victim], progress: Progress) -> None:
        """Tell each."""
        for each in self._observers:
            each.on_progress(victims, progress)

    def on_round_attacked(self, server_round: int) -> None:
        """Tell each."""
        for each in self._observers:
            each.on_round_attacked(server_round)
