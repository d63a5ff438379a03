"""Runs with pictures and a report."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fedsim.engine.comparison import Done
from fedsim.engine.observer import Observer, Observers
from fedsim.engine.past import EngineName
from fedsim.engine.run import Engine, resume, run
from fedsim.log.comparison import cell_folder
from fedsim.log.folders import RECORDS
from fedsim.log.run import Run
from fedsim.log.schema import (
    EmergenceRecord,
    LeakageRecord,
    LogRecord,
    ReconstructionRecord,
    RunStarted,
)
from fedsim.scenario import Scenario
from fedsim.show.artefacts import draw
from fedsim.show.conclude import conclude_run

logger = logging.getLogger(__name__)


class Drawing(Observer):
    """Draws each attacked round when it ends, so that a run that dies keeps its pictures."""

    def __init__(self) -> None:
        self._start: list[LogRecord] = []
        self._round: list[LogRecord] = []

    def on_record(self, record: LogRecord) -> None:
        """Store the record if a drawing needs it."""
        if isinstance(record, RunStarted):
            self._start = [record]
        elif isinstance(record, ReconstructionRecord | LeakageRecord | EmergenceRecord):
            self._round.append(record)

    def on_round_attacked(self, server_round: int) -> None:
        """Draw the round; a failure is only a warning, and the run continues."""
        records, self._round = [*self._start, *self._round], []
        if self.folder is None:
            return
        try:
            draw(Run(self.folder, records, ""), anew=True)
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            logger.warning("round %d: the pictures were not drawn: %s", server_round, reason)


def run_and_conclude(
    scenario: Scenario,
    folder: Path,
    *,
    engine: EngineName | Engine = "inline",
    observer: Observer | None = None,
) -> Path:
    """Run a scenario, draw its pictures as its rounds end, and write its report.

    Args:
        scenario: the scenario.
        folder: the run folder; must be empty or not exist.
        engine: where the clients run.
        observer: observer of the run.

    Raises:
        FedsimError: the run could not start or continue; the report states this too.
        KeyboardInterrupt: the user stopped the run; the report shows everything finished so far.
    """
    with _concluded(observer) as watching:
        return run(scenario, folder, engine=engine, observer=watching)


def resume_and_conclude(folder: Path, *, observer: Observer | None = None) -> Path:
    """Go on with an unfinished run, draw its pictures as its rounds end, and write its report.

    Args:
        folder: the folder of a run that was interrupted, failed, or died.
        observer: observer of the run.

    Raises:
        FedsimError: there is nothing to go on with, or the run could not continue.
        KeyboardInterrupt: the user stopped the run; the report shows everything finished so far.
    """
    with _concluded(observer) as watching:
        return resume(folder, observer=watching)


@contextmanager
def _concluded(observer: Observer | None) -> Iterator[Observer]:
    """Yield an observer that draws; at the end, write the report of a run that had begun."""
    drawing = Drawing()
    try:
        yield drawing if observer is None else Observers(drawing, observer)
    finally:
        if drawing.folder is not None:
            conclude_run(drawing.folder)


def conclude_cell(folder: Path, done: Done) -> None:
    """Draw the pictures and write the report of a cell that has just been run.

    Args:
        folder: the comparison's folder.
        done: the cell with its outcome.
    """
    place = cell_folder(folder, done.cell)
    if not done.before and (place / RECORDS).is_file():
        conclude_run(place)
