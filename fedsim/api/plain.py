"""Plain lines on a run in progress, for logs and pipes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from fedsim.attacks import Progress
from fedsim.core.measures import accuracy_name
from fedsim.engine.observer import Observer
from fedsim.log.schema import (
    LeakageRecord,
    LogRecord,
    ManipulationRecord,
    RoundRecord,
    RunStarted,
    UploadRecord,
)
from fedsim.scenario import Scenario
from fedsim.server.victims import Victim
from fedsim.show.headline import counted, duration
from fedsim.show.malice import sent_said

PLAIN_PROGRESS_S = 10.0
"""Time between two lines on the progress of an attack, in seconds."""

LONG_S = 600.0
"""Minimum estimated time, in seconds, for a run to be announced as long."""

FILM = "film of a search (idlg)"
STOPPING = "stopping: scoring what was finished, and writing the report ..."


class PlainView(Observer):
    """Prints the progress of a run in plain lines, for logs and pipes.

    Args:
        console: the console to print to.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._scenario: Scenario | None = None
        self._looked = time.monotonic()
        self._start: RunStarted | None = None

    def __enter__(self) -> PlainView:
        return self

    def __exit__(self, *exc: object) -> None: ...

    def on_start(self, scenario: Scenario, folder: Path) -> None:
        """Print the scenario and the run folder."""
        super().on_start(scenario, folder)
        self._scenario = scenario
        self._say(f"{scenario.title}: {counted(scenario.num_clients, 'client')}")
        self._say(f"run folder: {folder}")

    def on_record(self, record: LogRecord) -> None:
        """Print the meaning of a record."""
        if isinstance(record, RunStarted):
            self._start = record
        line = sentence(record, self._start)
        if line:
            self._say(line)

    def on_victims(self, victims: Sequence[Victim]) -> None:
        """Print the number of victims."""
        if self.begins_round(victims):
            self._say(f"round {victims[0].server_round}: {attack_line(victims)}")

    def on_progress(self, victims: Sequence[Victim], progress: Progress) -> None:
        """Print the progress of the attack at intervals."""
        if time.monotonic() - self._looked >= PLAIN_PROGRESS_S:
            self._looked = time.monotonic()
            film = f"{FILM}, " if victims[0].film else ""
            self._say(f"  {film}{progress_line(progress)}")

    def on_interrupt(self) -> None:
        """Tell that the run is stopping."""
        self._say(STOPPING)

    def _say(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)


def score_said(record: LeakageRecord, start: RunStarted | None) -> str:
    """Return a score with its meaning."""
    meaning = record.score.meaning
    value = None if start is None else record.score.figure(start.measure)
    return meaning if start is None or value is None else f"{start.measure.show(value)} {meaning}"


def accuracy_said(record: RoundRecord, start: RunStarted | None) -> str:
    """Return the accuracy after a round."""
    return f"{accuracy_name('' if start is None else start.task)} {record.accuracy:.1%}"


def sentence(record: LogRecord, start: RunStarted | None) -> str | None:
    """Return a record as a sentence; None for one that is not told."""
    match record:
        case RunStarted(estimate_s=float(seconds)) if seconds > LONG_S:
            return (
                f"the attacks will take about {duration(seconds)} on this CPU; a GPU, "
                "fewer evaluations (adversary.attack.evaluations) or victims "
                "(adversary.per_round) shorten it"
            )
        case RunStarted(model=traits) if traits.frozen:
            return (
                f"{traits.frozen} of {traits.frozen + traits.parameters} parameters are frozen: "
                "their gradients are in no upload, and the attacks use those of the others"
            )
        case ManipulationRecord() | UploadRecord():
            return _client_sentence(record)
        case RoundRecord():
            return f"round {record.round}: {accuracy_said(record, start)}"
        case LeakageRecord():
            who = f"{record.victim} ({record.who}, {record.attacker})"
            return f"  {who}: {score_said(record, start)}"
    return None


def _client_sentence(record: ManipulationRecord | UploadRecord) -> str | None:
    if isinstance(record, ManipulationRecord):
        return sent_said(record)
    if record.problem is None:
        return None
    return f"round {record.round}: client {record.partition}: {record.problem}"


def attack_line(victims: Sequence[Victim]) -> str:
    """Return the number of uploads under attack."""
    attacked = {v.partitions for v in victims if not v.is_control}
    if any(len(partitions) > 1 for partitions in attacked):
        [together] = map(len, attacked)
        return f"attacking the sum of {together} uploads and a positive control"
    return f"attacking {counted(len(attacked), 'upload')} and a positive control"


def progress_line(progress: Progress, left: str = "") -> str:
    """Return the state of a search, with a clause on the time left near the beginning."""
    median = float(progress.objective.median())
    return (
        f"evaluation {progress.evaluation} of {progress.max_evaluations}{left}, "
        f"{len(progress.victims)} running, median objective {median:.0e}"
    )
