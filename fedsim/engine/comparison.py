"""Execution of a comparison's runs, in sequence or in parallel, with resumption."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedsim.core.errors import FedsimError, RunError
from fedsim.core.plugins import Plugin, loaded_plugins
from fedsim.core.signals import ended_as_interrupts
from fedsim.engine import resume, run
from fedsim.engine.arranging import arrange
from fedsim.engine.observer import Observer
from fedsim.engine.past import goes_on
from fedsim.engine.workers import ray_workers
from fedsim.log.attack_matrix import UNSUITED, write_unsuited
from fedsim.log.comparison import COMPARISON, cell_folder, is_finished
from fedsim.log.lock import LOCK, locked
from fedsim.scenario import Scenario
from fedsim.scenario.comparison import Comparison
from fedsim.scenario.grid import Cell


@dataclass(frozen=True)
class Done:
    """The outcome of one cell.

    Attributes:
        cell: the cell.
        error: reason why its run failed; None if it succeeded.
        before: whether it had already been run.
    """

    cell: Cell
    error: str | None = None
    before: bool = False


SCRATCH = f".{COMPARISON}.part"
LEFT_OVER = (LOCK, SCRATCH, UNSUITED)
"""Files that a process leaves in the folder if it dies before it has begun the comparison."""

OnDone = Callable[[Done], None]
ObserverOf = Callable[[Cell], Observer]


def run_cells(
    comparison: Comparison,
    folder: Path,
    *,
    jobs: int = 1,
    on_done: OnDone = lambda done: None,
    observer_of: ObserverOf = lambda cell: Observer(),
) -> list[Done]:
    """Run all cells of a comparison that have not been run yet.

    A cell that was stopped half-way goes on, with the same result. If a cell fails, the others
    continue. A comparison that has more cells than the one that was begun, or fewer, uses the runs
    that both have.

    Args:
        comparison: the comparison.
        folder: the comparison's folder: a new one, or one in which this comparison was begun.
        jobs: number of cells to run at once; more than one run in processes of Ray, on this
            machine, or on the cluster that ``RAY_ADDRESS`` names if it shares the folder.
        on_done: called with each finished cell.
        observer_of: returns the observer of a cell; not used with several jobs.

    Returns:
        The outcome of each cell, in order.

    Raises:
        RunError: the folder cannot be written, has other contents, or another process runs the
            comparison in it.
        KeyboardInterrupt: the user stopped the comparison, or SIGTERM or SIGHUP did; its finished
            runs are kept.
    """
    open_folder(comparison, folder)
    with locked(folder), ended_as_interrupts():
        return _run_cells(comparison, folder, jobs, on_done, observer_of)


def _run_cells(
    comparison: Comparison, folder: Path, jobs: int, on_done: OnDone, observer_of: ObserverOf
) -> list[Done]:
    done: dict[str, Done] = {}
    todo: list[Cell] = []
    for cell in comparison.runs:
        if is_finished(cell_folder(folder, cell)):
            done[cell.place] = Done(cell, before=True)
            on_done(done[cell.place])
        else:
            todo.append(cell)
    started = _one_by_one(todo, folder, observer_of) if jobs == 1 else _on_ray(todo, folder, jobs)
    for each in started:
        done[each.cell.place] = each
        on_done(each)
    return [done[cell.place] for cell in comparison.runs]


def open_folder(comparison: Comparison, folder: Path) -> None:
    """Create the folder of a comparison, or check that its runs fit the comparison.

    Raises:
        RunError: it belongs to another comparison, or it cannot be written.
    """
    place, text = folder / COMPARISON, comparison.to_toml()
    try:
        if place.is_file():
            with locked(folder):
                arranged = arrange(comparison, folder)
            if place.read_text("utf-8") == text:
                return
            if not arranged:
                raise RunError(
                    f"{folder}: another comparison was begun here, or this one with other values "
                    "in all its runs; give --out a new folder. Seeds, strengths and defenses can "
                    "be added to a comparison, and its other values must stay"
                )
        else:
            folder.mkdir(parents=True, exist_ok=True)
            if any(f.name not in LEFT_OVER for f in folder.iterdir()):
                raise RunError(f"{folder}: the folder is not empty; give --out a new one")
        scratch = folder / SCRATCH
        write_unsuited(comparison, folder)
        scratch.write_text(text, "utf-8")
        scratch.replace(place)
    except OSError as error:
        raise RunError(
            f"{folder}: the folder cannot be written: {error.strerror or error}; "
            "give --out a folder that you may write to"
        ) from None


def _one_by_one(cells: Sequence[Cell], folder: Path, observer_of: ObserverOf) -> Iterator[Done]:
    for cell in cells:
        try:
            _run_cell(cell.scenario, cell_folder(folder, cell), observer_of(cell))
        except FedsimError as error:
            yield Done(cell, str(error))
        else:
            yield Done(cell)


def _run_cell(scenario: Scenario, folder: Path, observer: Observer) -> None:
    """Run a cell, or go on with it.

    Raises:
        FedsimError: the run could not start or continue.
    """
    if goes_on(folder, scenario):
        resume(folder, observer=observer)
    else:
        shutil.rmtree(folder, ignore_errors=True)
        run(scenario, folder, observer=observer)


def _on_ray(cells: Sequence[Cell], folder: Path, jobs: int) -> Iterator[Done]:
    with ray_workers(cpus=jobs, variables={"OMP_NUM_THREADS": "1"}) as ray:
        yield from _done_on_ray(ray, cells, folder)


def _done_on_ray(ray: Any, cells: Sequence[Cell], folder: Path) -> Iterator[Done]:
    remote, plugins = ray.remote(num_cpus=1)(_in_a_worker), loaded_plugins()
    waiting = {
        remote.remote(
            cell.scenario.to_toml(), str(cell_folder(folder, cell).absolute()), plugins
        ): cell
        for cell in cells
    }
    while waiting:
        [ready], _ = ray.wait(list(waiting), num_returns=1)
        cell = waiting.pop(ready)
        try:
            yield Done(cell, ray.get(ready))
        except ray.exceptions.RayError as error:
            yield Done(cell, f"the worker failed: {error}")


def _in_a_worker(scenario_toml: str, folder: str, plugins: Sequence[Plugin]) -> str | None:
    """Run a cell in a separate process; return the error, or None if it succeeded."""
    try:
        for plugin in plugins:
            plugin.load()
        _run_cell(Scenario.from_toml(scenario_toml), Path(folder), Observer())
    except FedsimError as error:
        return str(error)
    return None
