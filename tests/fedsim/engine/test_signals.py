"""SIGTERM and SIGHUP end a run as Ctrl-C does."""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from fedsim.core.signals import ENDING, ended_as_interrupts
from fedsim.engine import run
from fedsim.engine.comparison import run_cells
from fedsim.engine.observer import Observer
from fedsim.log.comparison import cell_folder, is_finished
from fedsim.log.reader import of_kind, read_records
from fedsim.log.schema import LogRecord, RoundRecord, RunEnded
from tests.fedsim.engine.tiny import tiny
from tests.fedsim.small import small

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")


@pytest.fixture(autouse=True)
def usual() -> Iterator[None]:
    """Have the system's handlers, also where the tests run under ``nohup``."""
    before = {number: signal.signal(number, signal.SIG_DFL) for number in ENDING}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


class Killing(Observer):
    """Sends this process a signal after a round."""

    def __init__(self, number: int) -> None:
        self.number = number

    def on_record(self, record: LogRecord) -> None:
        if isinstance(record, RoundRecord) and record.round == 1:
            os.kill(os.getpid(), self.number)


@pytest.mark.parametrize("number", ENDING, ids=lambda n: n.name)
def test_a_signal_ends_a_run_as_an_interrupt(number: signal.Signals, tmp_path: Path) -> None:
    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt):
        run(small(), tmp_path / "run", observer=Killing(number))
    [end] = of_kind(read_records(tmp_path / "run"), RunEnded)
    assert (end.status, end.error) == ("interrupted", None)
    assert signal.getsignal(number) is before
    assert not [t for t in threading.enumerate() if t.name == "adversary"]


def test_a_signal_ends_a_comparison_and_keeps_its_finished_runs(tmp_path: Path) -> None:
    comparison, begun = tiny("adaptive=false", "grid=[{}]"), list[Observer]()

    def observer_of(cell: object) -> Observer:
        begun.append(Killing(signal.SIGTERM) if len(begun) == 1 else Observer())
        return begun[-1]

    with pytest.raises(KeyboardInterrupt):
        run_cells(comparison, tmp_path / "c", observer_of=observer_of)
    assert len(begun) == 2
    assert is_finished(cell_folder(tmp_path / "c", comparison.cells[0]))


def test_a_process_that_ignores_hang_ups_goes_on() -> None:
    usual = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with ended_as_interrupts():
            os.kill(os.getpid(), signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, usual)


def test_the_handler_that_ray_sets_is_converted() -> None:
    with pytest.raises(KeyboardInterrupt), ended_as_interrupts():
        sys.exit(signal.SIGTERM)
    with pytest.raises(SystemExit), ended_as_interrupts():
        sys.exit(3)


def test_in_another_thread_nothing_is_changed() -> None:
    seen: list[object] = []

    def look() -> None:
        with ended_as_interrupts():
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert seen == [signal.getsignal(signal.SIGTERM)]
