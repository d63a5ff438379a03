"""Runs and comparisons that are killed at random moments go on to the same results.

Two kills of each by default; 30 of each were tried:

    FEDSIM_KILLS=30 uv run pytest -m slow --timeout 3000 tests/fedsim/engine/test_killed.py
"""

import csv
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fedsim.engine import resume, run
from fedsim.engine.comparison import run_cells
from fedsim.log.comparison import CELLS, cell_folder
from fedsim.log.folders import RECORDS
from fedsim.scenario.comparison import Comparison
from fedsim.show.comparison.write import conclude
from tests.fedsim.engine.tiny import tiny
from tests.fedsim.engine.unfinished import case_of, plain, same_tensors

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals"),
]

KILLS = int(os.environ.get("FEDSIM_KILLS", "2"))
RUN = """
import sys
from pathlib import Path
from fedsim.engine import run
from fedsim.scenario import load_scenario
run(load_scenario(sys.argv[1]), Path(sys.argv[2]))
"""
COMPARE = """
import sys
from pathlib import Path
from fedsim.engine.comparison import run_cells
from fedsim.scenario.comparison import Comparison
run_cells(Comparison.from_toml(Path(sys.argv[1]).read_text()), Path(sys.argv[2]))
"""
CELLS_OF_IT = (
    "adaptive=false",
    "seeds=[0]",
    "victims=1",
    "grid=[{}, {label='dgc', defenses=[{name='dgc', fraction=0.5}]}]",
)


def killed_after(records: int, code: str, scenario: Path, folder: Path) -> None:
    """Run code on a file and a folder in a process, and kill it after so many records."""
    arguments = [sys.executable, "-c", code, str(scenario), str(folder)]
    child = subprocess.Popen(arguments, env=os.environ | {"OMP_NUM_THREADS": "1"})
    while child.poll() is None and not (folder.exists() and lines_of(folder) >= records):
        time.sleep(0.001)
    child.send_signal(signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL


def lines_of(folder: Path) -> int:
    """Return the number of records in all runs of a folder."""
    return sum(path.read_bytes().count(b"\n") for path in folder.rglob(RECORDS))


def test_a_run_goes_on(tmp_path: Path) -> None:
    case = case_of("secure aggregation")
    whole = run(case, tmp_path / "whole")
    (tmp_path / "case.toml").write_text(case.to_toml())
    chance = random.Random(7)  # noqa: S311
    for kill in range(KILLS):
        folder, moment = tmp_path / f"killed-{kill}", chance.randrange(1, lines_of(whole))
        killed_after(moment, RUN, tmp_path / "case.toml", folder)
        resume(folder)
        assert plain(folder) == plain(whole), moment
        assert same_tensors(folder, whole)


def test_a_comparison_goes_on(tmp_path: Path) -> None:
    comparison, whole = tiny(*CELLS_OF_IT), tmp_path / "whole"
    run_cells(comparison, whole)
    (tmp_path / "case.toml").write_text(comparison.to_toml())
    chance = random.Random(8)  # noqa: S311
    for kill in range(KILLS):
        folder, moment = tmp_path / f"killed-{kill}", chance.randrange(lines_of(whole))
        killed_after(moment, COMPARE, tmp_path / "case.toml", folder)
        assert [d.error for d in run_cells(comparison, folder)] == [None] * 2
        assert table(comparison, folder) == table(comparison, whole), moment
        for cell in comparison.cells:
            ours, theirs = cell_folder(folder, cell), cell_folder(whole, cell)
            assert plain(ours) == plain(theirs), moment
            assert same_tensors(ours, theirs)
        assert sorted(p.name for p in (folder / CELLS).iterdir()) == sorted(
            p.name for p in (whole / CELLS).iterdir()
        )


def table(comparison: Comparison, folder: Path) -> list[dict[str, str]]:
    """Return the table of a comparison without its times."""
    conclude(comparison, folder)
    with (folder / "table.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return [{k: v for k, v in row.items() if not k.endswith("seconds")} for row in rows]
