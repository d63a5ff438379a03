"""Terminal views of a run in progress."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from rich.console import Console, ConsoleDimensions, Group, RenderableType
from rich.control import Control
from rich.live import Live
from rich.table import Table
from rich.text import Text

from fedsim.api.plain import (
    FILM,
    STOPPING,
    PlainView,
    attack_line,
    progress_line,
    score_said,
    sentence,
)
from fedsim.attacks import Progress
from fedsim.core.measures import accuracy_name
from fedsim.core.modality import MODALITIES
from fedsim.engine.observer import Observer, Reader
from fedsim.log.schema import (
    CONTROL,
    LeakageRecord,
    LogRecord,
    ManipulationRecord,
    RoundRecord,
    RunStarted,
    UploadRecord,
)
from fedsim.scenario import Scenario
from fedsim.server.victims import Victim, group_name
from fedsim.show.headline import counted, duration
from fedsim.show.malice import MaliceTally, sent_said
from fedsim.show.terminal.curve import AccuracyCurve
from fedsim.show.terminal.table import STYLES
from fedsim.show.view import Frame, View

LOOKS_PER_SECOND = 4


@dataclass
class _Screen:
    """Contents of the live view."""

    title: str = ""
    folder: str = ""
    rounds: int = 0
    federation: str = "waiting for the clients"
    attack: str = "no attack yet"
    malice: list[str] = field(default_factory=list)
    accuracy: dict[int, float] = field(default_factory=dict)
    stopping: bool = False
    frames: dict[str, Frame] = field(default_factory=dict)


@dataclass
class _Pace:
    """Pace of an attack that is running."""

    began: float = 0.0
    first: int = 0
    last: int = -1

    def left(self, evaluation: int, most: int, now: float) -> str:
        """Return about how much time is left at most, as a clause; empty at the beginning."""
        if self.last < 0 or evaluation < self.last:  # another attack
            self.began, self.first = now, evaluation
        self.last = evaluation
        done, passed = evaluation - self.first, now - self.began
        if not done or passed < 1:
            return ""
        return f", at most {duration(passed * (most - evaluation) / done)} left"


class LiveView(Observer):
    """Live view that redraws the terminal: rounds, clients, the attack, and emerging pictures.

    Use it as a context manager around the run.

    Args:
        console: a terminal.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._scenario: Scenario | None = None
        self._reader: Reader | None = None
        self._view: View | None = None
        self._screen = _Screen()
        self._lock = threading.Lock()
        self._looked, self._began = 0.0, time.monotonic()
        self._uploads = 0
        self._start: RunStarted | None = None
        self._paces: dict[str, _Pace] = {}
        self._tally = MaliceTally()
        self._size: ConsoleDimensions | None = None
        self._live = Live(
            console=console,
            get_renderable=self._render,
            refresh_per_second=LOOKS_PER_SECOND,
            transient=True,
        )

    def __enter__(self) -> LiveView:
        self._live.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._live.stop()

    def on_start(self, scenario: Scenario, folder: Path) -> None:
        """Show the scenario."""
        super().on_start(scenario, folder)
        self._scenario = scenario
        modality = MODALITIES.get(scenario.data.dataset.modality)
        with self._lock:
            self._view = modality.part("view")()
            self._screen.title, self._screen.folder = scenario.title, str(folder)
            self._screen.rounds = scenario.federation.rounds

    def on_reader(self, reader: Reader) -> None:
        """Store the reader of dummy data."""
        self._reader = reader

    def on_record(self, record: LogRecord) -> None:
        """Show the meaning of a record."""
        with self._lock:
            if self._start is not None:
                self._tally.add(record, self._start.measure)
                self._screen.malice = self._tally.lines(self._start.measure)
            match record:
                case RunStarted():
                    self._start = record
                    self._screen.federation = sentence(record, record) or self._screen.federation
                case ManipulationRecord():
                    self._screen.federation = sent_said(record)
                case UploadRecord():
                    self._uploads += 1
                    self._screen.federation = (
                        f"round {record.round} of {self._screen.rounds}: upload of client "
                        f"{record.partition} ({record.group})"
                    )
                case RoundRecord():
                    self._screen.accuracy[record.round] = record.accuracy
                    self._screen.federation = (
                        f"round {record.round} of {self._screen.rounds} aggregated: "
                        f"{counted(self._uploads, 'upload')} so far"
                    )
                case LeakageRecord():
                    shown = self._screen.frames.get(record.victim)
                    if shown is not None:
                        shown.note = score_said(record, self._start)
                        shown.style = STYLES[record.score.meaning]
                        shown.running = False

    def on_victims(self, victims: Sequence[Victim]) -> None:
        """Clear the pictures of the previous round."""
        if not self.begins_round(victims):
            return
        with self._lock:
            self._screen.attack = f"round {victims[0].server_round}: {attack_line(victims)}"
            self._screen.frames.clear()
            self._paces.clear()
            self._looked = 0.0

    def on_progress(self, victims: Sequence[Victim], progress: Progress) -> None:
        """Update the pictures, a few times per second."""
        now = time.monotonic()
        if now - self._looked < 1 / LOOKS_PER_SECOND:
            return
        self._looked = now
        pace = self._paces.setdefault(victims[0].name, _Pace())  # attacks run at once
        left = pace.left(progress.evaluation, progress.max_evaluations, now)
        data = progress.data()[:, 0]
        with self._lock:
            what = FILM if victims[0].film else f"{victims[0].attacker} attack"
            self._screen.attack = (
                f"round {victims[0].server_round}: {what}, {progress_line(progress, left)}"
            )
            if self._scenario is None or self._reader is None:
                return
            for row, position in enumerate(progress.victims.tolist()):
                victim = victims[position]
                private, found = self._reader(victim, data[row], 0)
                note = f"fit {float(progress.objective[row]):.0e}"
                title = group_name(self._scenario, victim) or CONTROL
                self._screen.frames[victim.name] = Frame(
                    title, victim.attacker, private, found, note
                )

    def _render(self) -> RenderableType:
        with self._lock:
            screen, view = self._screen, self._view
            frames = [replace(frame) for frame in screen.frames.values()]
            malice = list(screen.malice)
        header = Group(
            Text(screen.title, style="bold").append(f"  {self._times()}", style="dim"),
            _wrapped("clients", screen.federation),
            AccuracyCurve(screen.accuracy, *self._measured()) if screen.accuracy else Text(""),
            _wrapped("adversary", screen.attack),
            *(_wrapped("malicious", said, "bold red") for said in malice),
            Text(STOPPING, style="bold yellow") if screen.stopping else Text(""),
        )
        cleared = self._cleared()
        if not frames or view is None:
            return Group(*cleared, header)
        width = self._console.width
        height = self._console.height - len(self._console.render_lines(header)) - 1
        return Group(*cleared, header, view.frames(frames, width, height))

    def _cleared(self) -> tuple[Control, ...]:
        """Return the control codes that clear a terminal whose size has changed.

        It has broken the lines of the previous picture anew, so that they cannot be overwritten.
        """
        size, self._size = self._size, self._console.size
        return () if size in (None, self._size) else (Control.clear(), Control.home())

    def _measured(self) -> tuple[str, float | None]:
        """Return the name of the accuracy, and that of a guess."""
        if self._start is None:
            return accuracy_name(""), None
        return accuracy_name(self._start.task), self._start.chance

    def on_interrupt(self) -> None:
        """Tell that the run is stopping; called from a signal handler, so it takes no lock."""
        self._screen.stopping = True

    def _times(self) -> str:
        """Return the time that has passed, and about how much is left, if that is known."""
        elapsed = time.monotonic() - self._began
        minutes, seconds = divmod(int(elapsed), 60)
        passed = f"{minutes}:{seconds:02}"
        expected = None if self._start is None else self._start.estimate_s
        if expected is None or expected <= elapsed:
            return passed
        return f"{passed}, about {duration(expected - elapsed)} left"


def _wrapped(label: str, said: str, style: str = "") -> Table:
    """Return a labelled line, which a narrow terminal wraps beside its label."""
    line = Table.grid(padding=(0, 1, 0, 0))
    line.add_column(width=10)
    line.add_column(overflow="fold")
    line.add_row(Text(label, style=style), Text(said, style=style))
    return line


def view_for(console: Console) -> PlainView | LiveView:
    """Return the live view for a terminal, plain lines otherwise."""
    return LiveView(console) if console.is_terminal else PlainView(console)
