"""Terminal view of a comparison: progress, then table and recommendation."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.panel import Panel
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from fedsim.api.watch import conclude_cell
from fedsim.attacks import Progress as AttackProgress
from fedsim.cli.interrupts import answering
from fedsim.cli.options import Output
from fedsim.engine.comparison import Done, run_cells
from fedsim.engine.observer import Observer
from fedsim.log.results import Result
from fedsim.log.schema import LogRecord, RoundRecord
from fedsim.scenario.comparison import Comparison
from fedsim.scenario.grid import Cell
from fedsim.server.victims import Victim
from fedsim.show.as_json import comparison_result
from fedsim.show.comparison.attack_matrix import MATRIX_LEGEND, terminal_matrix
from fedsim.show.comparison.next_run import too_few_rounds
from fedsim.show.comparison.tables import terminal_tables
from fedsim.show.comparison.write import Outcome, conclude
from fedsim.show.headline import counted, duration
from fedsim.show.report.following import Following

INTERRUPTED = 130


def watch_comparison(
    comparison: Comparison, folder: Path, jobs: int, output: Output, *, follows: bool = False
) -> bool:
    """Run a comparison and show its progress and its results.

    Args:
        comparison: the comparison.
        folder: its folder.
        jobs: number of runs at once.
        output: what is printed.
        follows: whether the report is written after each run and opened in the browser.

    Returns:
        Whether all of its runs are finished.
    """
    console = output.console
    report = Following(folder) if follows else None
    done: list[Done] = []
    interrupted = False
    console.print(f"{comparison.title}: {counted(len(comparison.runs), 'run')}", markup=False)
    warning = too_few_rounds(comparison)
    if warning is not None:
        console.print(f"warning: {warning}", style="yellow", markup=False, highlight=False)
    with _Progress(console, comparison) as progress, answering(progress.on_interrupt):

        def on_done(each: Done) -> None:
            conclude_cell(folder, each)
            progress.on_done(each)
            if report is not None:
                report.write()

        try:
            done = run_cells(
                comparison,
                folder,
                jobs=jobs,
                on_done=on_done,
                observer_of=progress.observer_of,
            )
        except KeyboardInterrupt:
            interrupted = True
    outcome = conclude(comparison, folder)
    failed = [f"{d.cell.scenario.title}: {d.error}" for d in done if d.error is not None]
    if output.as_json:
        said = comparison_result(
            comparison.title, outcome.results, outcome.advice,
            failed=failed, files=outcome.files, folder=folder,
        )  # fmt: skip
        sys.stdout.write(said.text())
    else:
        _show(console, outcome, folder)
        output.folder(folder)
    errors = Console(stderr=True)
    for why in failed:
        errors.print(why, style="red", markup=False)
    if interrupted:
        errors.print(
            f"interrupted: finished runs are kept; continue with --out {folder}", markup=False
        )
        sys.stdout.flush()
        os._exit(INTERRUPTED)  # a normal exit would wait for threads of Ray whose workers are gone
    return not failed


class _Progress:
    """Progress bars for the runs and for the current run; plain lines in a pipe."""

    def __init__(self, console: Console, comparison: Comparison) -> None:
        self._console, self._comparison = console, comparison
        self._count, self._ran, self._began = 0, 0, time.monotonic()
        self._bars = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._runs = self._bars.add_task("runs", total=len(comparison.runs))
        self._inside = self._bars.add_task("", total=None)

    def __enter__(self) -> _Progress:
        self._bars.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._bars.stop()

    def on_done(self, done: Done) -> None:
        """Report that a run has finished."""
        self._count += 1
        self._bars.advance(self._runs)
        seconds = time.monotonic() - self._began
        self._ran += not done.before
        todo = len(self._comparison.runs) - self._count
        left = ""
        if self._ran and todo:
            left = f"; about {duration(todo * seconds / self._ran)} left"
        what = "done before" if done.before else f"failed: {done.error}" if done.error else "done"
        self._console.print(
            f"{self._count:4}/{len(self._comparison.runs)} {seconds:6.0f} s  "
            f"{done.cell.scenario.title}, seed {done.cell.seed}: {what}{left}",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )

    def on_interrupt(self) -> None:
        """Tell that the comparison is stopping."""
        self._console.print("stopping: the current run is left as it is ...", style="bold yellow")

    def observer_of(self, cell: Cell) -> Observer:
        """Return an observer that shows the progress of one run."""
        return _Inside(self._bars, self._inside, cell)


class _Inside(Observer):
    """Shows the progress of one run."""

    def __init__(self, bars: Progress, task: object, cell: Cell) -> None:
        self._bars, self._task, self._cell = bars, task, cell

    def on_record(self, record: LogRecord) -> None:
        """Count the rounds."""
        if isinstance(record, RoundRecord):
            self._show("rounds", record.round, self._cell.scenario.federation.rounds)

    def on_progress(self, victims: Sequence[Victim], progress: AttackProgress) -> None:
        """Show the attack's evaluations."""
        what = f"attack on round {victims[0].server_round}"
        self._show(what, progress.evaluation, progress.max_evaluations)

    def _show(self, what: str, now: int, end: int) -> None:
        self._bars.update(
            self._task,  # type: ignore[arg-type]
            description=f"{self._cell.scenario.title}: {what}",
            completed=now,
            total=end,
        )


def _show(console: Console, outcome: Outcome, folder: Path) -> None:
    if outcome.results:
        for table in terminal_matrix(outcome.pairs) or terminal_tables(outcome.results):
            console.print(table)
        legend = MATRIX_LEGEND if outcome.pairs else _legend(outcome.results[0])
        console.print(legend, style="dim", highlight=False)
        said = Text("\n\n".join(outcome.advice))
        console.print(Panel(said, title="What this says", title_align="left"))
    for file in (*outcome.files, folder):
        console.print(str(file), markup=False, highlight=False, soft_wrap=True)


def _legend(result: Result) -> str:
    measure = result.measure
    return (
        f"{measure.caption}: mean, in brackets the highest, which is the worst for the client; "
        f"blind: the best guess without any gradient. failed: the attack failed, which is "
        "not protection. unscored: there is no "
        "reconstruction. acc.: "
        f"{result.accuracy_name} after all rounds. upload: its mean size."
    )
