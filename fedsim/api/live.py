"""Views of a run that goes on."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from fedsim.attacks import Progress
from fedsim.core.measures import accuracy_name
from fedsim.engine.estimate import in_words
from fedsim.engine.observer import Observer, TextReader
from fedsim.log.schema import (
    CONTROL,
    LeakageRecord,
    LogRecord,
    RoundRecord,
    RunStarted,
    UploadRecord,
)
from fedsim.scenario import Scenario
from fedsim.server.victims import Victim, group_name
from fedsim.show.figures import Picture, PictureRow
from fedsim.show.figures.pixels import FloatImage
from fedsim.show.sentences import coloured, plain
from fedsim.show.terminal.table import STYLES

LOOKS_PER_SECOND = 4
PLAIN_PROGRESS_S = 10.0

LONG_S = 600.0
"""From which time on a run is announced as a long one."""
WIDTHS = (28, 24, 20, 16, 14, 12)
HEADER_LINES = 5
CAPTION_LINES = 4  # the caption's own three, and a blank one between rows


class PlainView(Observer):
    """Says in plain lines what happens, for logs and pipes.

    Args:
        console: where to print.
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
        """Say what is run and where its files are."""
        super().on_start(scenario, folder)
        self._scenario = scenario
        self._say(f"{scenario.title}: {scenario.num_clients} clients")
        self._say(f"run folder: {folder}")

    def on_record(self, record: LogRecord) -> None:
        """Print a record in a sentence."""
        if isinstance(record, RunStarted):
            self._start = record
        line = _sentence(record, self._start)
        if line:
            self._say(line)

    def on_victims(self, victims: Sequence[Victim]) -> None:
        """Say how many are attacked."""
        self._say(f"round {victims[0].server_round}: {_attack_line(victims)}")

    def on_progress(self, victims: Sequence[Victim], progress: Progress) -> None:
        """Say now and then how far the attack is."""
        if time.monotonic() - self._looked >= PLAIN_PROGRESS_S:
            self._looked = time.monotonic()
            self._say(f"  {_progress_line(progress)}")

    def _say(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)


@dataclass
class _Tile:
    """One picture in the live view."""

    title: str
    attacker: str
    image: FloatImage
    note: str
    style: str = "cyan"


@dataclass
class _Line:
    """One text in the live view."""

    title: str
    private: str
    text: Text
    note: str
    style: str = "cyan"


@dataclass
class _Screen:
    """All that the live view shows."""

    title: str = ""
    folder: str = ""
    rounds: int = 0
    federation: str = "waiting for the clients"
    attack: str = "no attack yet"
    tiles: dict[str, _Tile] = field(default_factory=dict)
    lines: dict[str, _Line] = field(default_factory=dict)


class LiveView(Observer):
    """Redraws the terminal: rounds, clients, the attack, and the pictures as they emerge.

    Use as a context manager around the run.

    Args:
        console: a terminal.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._scenario: Scenario | None = None
        self._reader: TextReader | None = None
        self._screen = _Screen()
        self._lock = threading.Lock()
        self._looked = 0.0
        self._uploads = 0
        self._start: RunStarted | None = None
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
        """Show what is run."""
        super().on_start(scenario, folder)
        self._scenario = scenario
        with self._lock:
            self._screen.title, self._screen.folder = scenario.title, str(folder)
            self._screen.rounds = scenario.federation.rounds

    def on_reader(self, reader: TextReader) -> None:
        """Take note of how to read a run's texts."""
        self._reader = reader

    def on_record(self, record: LogRecord) -> None:
        """Show a record where it belongs."""
        with self._lock:
            match record:
                case RunStarted():
                    self._start = record
                    self._screen.federation = _sentence(record, record) or self._screen.federation
                case UploadRecord():
                    self._uploads += 1
                    self._screen.federation = (
                        f"round {record.round} of {self._screen.rounds}: upload of client "
                        f"{record.partition} ({record.group})"
                    )
                case RoundRecord():
                    self._screen.federation = (
                        f"round {record.round} of {self._screen.rounds} aggregated: "
                        f"{self._uploads} uploads so far, {_accuracy(record, self._start)}"
                    )
                case LeakageRecord():
                    shown = self._screen.lines.get(record.victim) or self._screen.tiles.get(
                        record.victim
                    )
                    if shown is not None:
                        shown.note = _score(record, self._start)
                        shown.style = STYLES[record.score.meaning]

    def on_victims(self, victims: Sequence[Victim]) -> None:
        """Clear the pictures of the round before."""
        with self._lock:
            self._screen.attack = f"round {victims[0].server_round}: {_attack_line(victims)}"
            self._screen.tiles.clear()
            self._screen.lines.clear()
            self._looked = 0.0

    def on_progress(self, victims: Sequence[Victim], progress: Progress) -> None:
        """Take a look at the pictures, a few times a second."""
        now = time.monotonic()
        if now - self._looked < 1 / LOOKS_PER_SECOND or self._scenario is None:
            return
        self._looked = now
        data = progress.data()[:, 0]
        with self._lock:
            self._screen.attack = (
                f"round {victims[0].server_round}: {victims[0].attacker} attack, "
                f"{_progress_line(progress)}"
            )
            for row, position in enumerate(progress.victims.tolist()):
                victim = victims[position]
                title = _group(self._scenario, victim)
                note = f"fit {float(progress.objective[row]):.0e}"
                if self._reader is None:
                    image = np.array(data[row].numpy())
                    self._screen.tiles[victim.name] = _Tile(title, victim.attacker, image, note)
                else:
                    original = self._reader.private(victim)[0]
                    text = coloured(self._reader.read(victim, data[row], 0), original)
                    self._screen.lines[victim.name] = _Line(title, plain(original), text, note)

    def _render(self) -> RenderableType:
        with self._lock:
            screen = self._screen
            tiles = [
                Picture(t.image, f"{t.title}\n{t.attacker}\n{t.note}", t.style)
                for t in screen.tiles.values()
            ]
        lines = (
            Text(screen.title, style="bold"),
            Text(f"clients    {screen.federation}", overflow="ellipsis", no_wrap=True),
            Text(f"adversary  {screen.attack}", overflow="ellipsis", no_wrap=True),
            Text(""),
        )
        if screen.lines:
            return Group(*lines, self._texts(list(screen.lines.values())))
        return Group(*lines, self._pictures(tiles)) if tiles else Group(*lines)

    def _texts(self, lines: list[_Line]) -> Table:
        """Return the texts, each below the private one, as many as fit."""
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
        table.add_column(style="bold", no_wrap=True)
        table.add_column()
        table.add_column(no_wrap=True)
        for line in lines[: max(1, (self._console.height - HEADER_LINES) // 3)]:
            table.add_row(line.title, Text(line.private, style="dim"), "")
            table.add_row("", line.text, Text(line.note, style=line.style))
            table.add_row("")
        return table

    def _pictures(self, tiles: list[Picture]) -> PictureRow:
        """Return the pictures at the largest width at which all of them fit."""
        height = self._console.height - HEADER_LINES
        for width in WIDTHS:
            columns = max(1, (self._console.width + 2) // (width + 2))
            rows = -(-len(tiles) // columns)
            if rows * (width // 2 + CAPTION_LINES) <= height:
                return PictureRow(tiles, width=width)
        return PictureRow(
            tiles, width=WIDTHS[-1], max_rows=max(1, height // (WIDTHS[-1] // 2 + CAPTION_LINES))
        )


def view_for(console: Console) -> PlainView | LiveView:
    """Return the live view for a terminal, plain lines for anything else."""
    return LiveView(console) if console.is_terminal else PlainView(console)


def _group(scenario: Scenario, victim: Victim) -> str:
    return group_name(scenario, victim) or CONTROL


def _score(record: LeakageRecord, start: RunStarted | None) -> str:
    meaning = record.score.meaning
    value = None if start is None else record.score.figure(start.measure)
    return meaning if start is None or value is None else f"{start.measure.show(value)} {meaning}"


def _accuracy(record: RoundRecord, start: RunStarted | None) -> str:
    return f"{accuracy_name('' if start is None else start.task)} {record.accuracy:.1%}"


def _sentence(record: LogRecord, start: RunStarted | None) -> str | None:
    match record:
        case RunStarted(estimate_s=float(seconds)) if seconds > LONG_S:
            return (
                f"the attacks will take about {in_words(seconds)} on this CPU; a GPU, "
                "fewer evaluations (adversary.attack.evaluations) or victims "
                "(adversary.per_round) shorten it"
            )
        case UploadRecord(problem=str(problem)):
            return f"round {record.round}: client {record.partition}: {problem}"
        case RoundRecord():
            return f"round {record.round}: {_accuracy(record, start)}"
        case LeakageRecord():
            who = f"{record.victim} ({record.who}, {record.attacker})"
            return f"  {who}: {_score(record, start)}"
    return None


def _attack_line(victims: Sequence[Victim]) -> str:
    attacked = {v.partitions for v in victims if not v.is_control}
    if any(len(partitions) > 1 for partitions in attacked):
        [together] = map(len, attacked)
        return f"attacking the sum of {together} uploads and a positive control"
    return f"attacking {len(attacked)} uploads and a positive control"


def _progress_line(progress: Progress) -> str:
    median = float(progress.objective.median())
    return (
        f"evaluation {progress.evaluation} of {progress.max_evaluations}, "
        f"{len(progress.victims)} running, median objective {median:.0e}"
    )
