"""SIGTERM and SIGHUP end whole runs and comparisons on Ray as Ctrl-C does, and leave no process."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from fedsim.cli.run_view import INTERRUPTED
from fedsim.engine.comparison import run_cells
from fedsim.log.comparison import cell_folder, is_finished
from fedsim.log.folders import RECORDS
from fedsim.log.reader import of_kind, read_records
from fedsim.log.schema import RoundRecord, RunEnded
from tests.fedsim.engine.ports import family
from tests.fedsim.engine.tiny import tiny
from tests.fedsim.small import TWENTY_EVALUATIONS, small

pytestmark = [
    pytest.mark.ray,
    pytest.mark.timeout(600),
    pytest.mark.skipif(sys.platform != "linux", reason="reads /proc"),
]

FEDSIM = [sys.executable, "-c", "from fedsim.cli.main import main; main()"]
WAIT_S = 300.0


def waited(until: Callable[[], bool]) -> bool:
    """Wait for something; return whether it came."""
    deadline = time.monotonic() + WAIT_S
    while not until():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def signalled(arguments: list[str], number: signal.Signals, when: Callable[[], bool]) -> str:
    """Send a signal to a command at a moment; return what it printed, when all of it has ended."""
    # In a session of its own, so that its descendants are known, and SIGHUP is not ignored.
    child = subprocess.Popen(
        [*FEDSIM, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL) and None,  # noqa: PLW1509
    )
    try:
        assert waited(lambda: when() or child.poll() is not None)
        everybody = family(child.pid)
        child.send_signal(number)
        said, _ = child.communicate(timeout=WAIT_S)
    finally:
        child.kill()
    assert child.returncode == INTERRUPTED, said
    assert len(everybody) > 1
    assert waited(lambda: not any(lives(pid) for pid in everybody)), said
    return said


def lives(pid: int) -> bool:
    """Return whether a process is there and has not ended."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text("utf-8", errors="replace")
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def test_a_run_ends(tmp_path: Path) -> None:
    case, folder = small("federation.rounds=100000", TWENTY_EVALUATIONS), tmp_path / "run"
    (tmp_path / "case.toml").write_text(case.to_toml(), "utf-8")

    def trained() -> bool:
        records = folder / RECORDS
        return records.is_file() and records.read_bytes().count(b'"kind": "round"') > 2

    said = signalled(
        ["run", str(tmp_path / "case.toml"), "--engine", "ray", "--out", str(folder)],
        signal.SIGTERM,
        trained,
    )
    [end] = of_kind(read_records(folder), RunEnded)
    assert (end.status, end.error) == ("interrupted", None), said
    assert of_kind(read_records(folder), RoundRecord)
    assert f"fedsim run --resume {folder}" in said
    assert "Traceback" not in said
    assert (folder / "report.html").is_file()


def test_a_comparison_ends(tmp_path: Path) -> None:
    comparison = tiny("adaptive=false", "grid=[{}]", "seeds=[0, 1, 2, 3, 4, 5]")
    folder = tmp_path / "c"
    (tmp_path / "c.toml").write_text(comparison.to_toml(), "utf-8")

    def finished() -> int:
        return sum(is_finished(cell_folder(folder, cell)) for cell in comparison.cells)

    said = signalled(
        ["compare", str(tmp_path / "c.toml"), "--jobs", "2", "--out", str(folder)],
        signal.SIGHUP,
        lambda: finished() > 0,
    )
    assert "interrupted: finished runs are kept" in said
    assert "Traceback" not in said
    before = finished()
    assert 0 < before < len(comparison.cells)
    done = run_cells(comparison, folder)
    assert [d.error for d in done] == [None] * len(done)
    assert sum(d.before for d in done) == before
