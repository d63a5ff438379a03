"""Terminal view of a run: its progress, then its table, pictures and folder; or its JSON."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from fedsim.cli.interrupts import answering
from fedsim.cli.options import EngineChoice, Output
from fedsim.log.folders import new_folder

if TYPE_CHECKING:
    from fedsim.engine.observer import Observer
    from fedsim.log.run import Run
    from fedsim.scenario import Scenario

INTERRUPTED = 130


def watch(
    scenario: Scenario, name: str, engine: EngineChoice, out: Path | None, output: Output
) -> None:
    """Run a scenario with a suitable view for the terminal, and print its results.

    Args:
        scenario: the scenario.
        name: its name, for a new folder.
        engine: where the clients run.
        out: the run folder; a new one if None.
        output: what is printed.
    """
    from fedsim.api.watch import run_and_conclude  # noqa: PLC0415

    folder = out if out is not None else new_folder(name)
    _watch(
        lambda view: run_and_conclude(scenario, folder, engine=engine.value, observer=view),
        output,
    )


def go_on(folder: Path, output: Output) -> None:
    """Go on with an unfinished run with a suitable view for the terminal, and print its results.

    Args:
        folder: its run folder.
        output: what is printed.
    """
    from fedsim.api.watch import resume_and_conclude  # noqa: PLC0415

    _watch(lambda view: resume_and_conclude(folder, observer=view), output)


def _watch(begin: Callable[[Observer], Path], output: Output) -> None:
    from fedsim.api.live import view_for  # noqa: PLC0415

    console = output.console
    view = view_for(console)
    interrupted = False
    try:
        with view, answering(view.on_interrupt):
            begin(view)
    except KeyboardInterrupt:
        interrupted = True
    finally:
        if view.folder is not None:
            conclude(console, view.folder, as_json=output.as_json)
            output.folder(view.folder)
    if interrupted:
        console.print("interrupted: the run folder holds everything finished so far")
        if view.folder is not None:
            go_on_with = f"to go on: fedsim run --resume {view.folder}"
            console.print(go_on_with, markup=False, highlight=False, soft_wrap=True)
        sys.stdout.flush()
        # Not a normal exit, which would wait for threads of Ray whose workers are gone.
        os._exit(INTERRUPTED)


def conclude(console: Console, folder: Path, *, as_json: bool = False) -> None:
    """Print the table of a finished or interrupted run, and its folder; or its result as JSON."""
    from fedsim.log.run import Run  # noqa: PLC0415

    run = Run.read(folder)
    if as_json:
        from fedsim.show.as_json import run_result  # noqa: PLC0415

        sys.stdout.write(run_result(run).text())
    else:
        _print(console, run)


def _print(console: Console, run: Run) -> None:
    from fedsim.log.schema import Meaning  # noqa: PLC0415
    from fedsim.show.report.page import REPORT  # noqa: PLC0415
    from fedsim.show.terminal.curve import AccuracyCurve  # noqa: PLC0415
    from fedsim.show.terminal.gallery import gallery  # noqa: PLC0415
    from fedsim.show.terminal.table import remarks, summary_table  # noqa: PLC0415
    from fedsim.show.threat import threat_said  # noqa: PLC0415
    from fedsim.show.view import view_of  # noqa: PLC0415

    summary, folder = run.summary, run.folder
    pictures = gallery(run)
    if pictures is not None and (console.is_terminal or view_of(run).readable_in_a_pipe):
        console.print(pictures)
    if len(summary.accuracy) > 2:
        name = summary.accuracy_name
        console.print(AccuracyCurve(summary.accuracy, name, run.start.chance), highlight=False)
    if summary.rows:
        console.print(summary_table(summary, console.width))
    for line in remarks(summary):
        console.print(line)
    for said in threat_said(run.scenario, summary):
        console.print(said, style="dim", markup=False, highlight=False)
    if any(r.count(Meaning.LEAKED) + r.count(Meaning.NOTHING) < r.examples for r in summary.rows):
        console.print(f"why? fedsim explain {folder}", markup=False, soft_wrap=True)
    report = [page] if (page := folder / REPORT).is_file() else []
    for file in (*sorted(folder.glob("pictures/round-*")), *report, folder):
        console.print(str(file), markup=False, highlight=False, soft_wrap=True)
