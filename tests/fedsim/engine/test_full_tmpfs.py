"""A file system that fills up: a clear error, and a run that goes on when there is space.

    uv run pytest -m "slow or not slow" tests/fedsim/engine/test_full_tmpfs.py

Skipped where nothing can be mounted, which takes root.
"""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fedsim.api.runs import open_run
from fedsim.core.errors import RunError
from fedsim.engine import resume, run
from fedsim.engine.comparison import run_cells
from fedsim.log.comparison import cell_folder
from fedsim.scenario import Scenario
from tests.fedsim.engine.tiny import tiny
from tests.fedsim.engine.unfinished import DGC, plain, same_tensors
from tests.fedsim.small import small

FULL = "can no longer be written: .*No space left on device"
SIZE = 4096 * 1024
PAGE = 4096


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """Return a file system of 4 MB."""
    if sys.platform != "linux":
        pytest.skip("tmpfs is of Linux")
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(place)]
    try:
        done = subprocess.run(mount, capture_output=True, text=True, check=False)
    except OSError as error:
        pytest.skip(f"there is no mount: {error}")
    if done.returncode:
        pytest.skip(f"a tmpfs cannot be mounted: {done.stderr.strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)


def filled(disk: Path, left: int) -> Path:
    """Return a file that leaves so many bytes of the disk."""
    filler = disk / "filler"
    filler.write_bytes(bytes(SIZE - left - PAGE))
    return filler


def ends(record: str) -> bool:
    """Return whether a record is the last one of a run."""
    return bool(json.loads(record)["kind"] == "end")


def goes_on(case: Scenario, pages: int, disk: Path, tmp_path: Path) -> None:
    """Run a scenario on a disk with so much space, make more, and go on."""
    whole = run(case, tmp_path / "whole")
    filler = filled(disk, pages * PAGE)
    with pytest.raises(RunError, match=FULL):
        run(case, disk / "run")
    kept = {r for r in plain(disk / "run") if not ends(r)}
    assert kept
    assert kept <= set(plain(whole))
    assert open_run(disk / "run").summary is not None
    filler.unlink()
    resume(disk / "run")
    assert plain(disk / "run") == plain(whole)
    assert same_tensors(disk / "run", whole)


@pytest.mark.parametrize("pages", [5, 8])
def test_a_run_goes_on_when_there_is_space(pages: int, disk: Path, tmp_path: Path) -> None:
    goes_on(small(DGC, "federation.rounds=9"), pages, disk, tmp_path)


ATTACKED = (
    "adversary={attack={name='dlg', evaluations=5}, per_round=1, rounds=[1, 3], adaptive=false}"
)


@pytest.mark.slow
def test_attacks_go_on_when_there_is_space(disk: Path, tmp_path: Path) -> None:
    goes_on(small(DGC, ATTACKED, "federation.rounds=4"), 18, disk, tmp_path)


@pytest.mark.slow
def test_a_comparison_goes_on_when_there_is_space(disk: Path, tmp_path: Path) -> None:
    comparison = tiny("adaptive=false", "grid=[{}]")
    run_cells(comparison, tmp_path / "whole")
    filler = filled(disk, 20 * PAGE)
    done = run_cells(comparison, disk / "c")
    assert [bool(re.search(FULL, d.error or "")) for d in done] == [True, True]
    filler.unlink()
    assert [d.error for d in run_cells(comparison, disk / "c")] == [None, None]
    for cell in comparison.cells:
        ours, theirs = cell_folder(disk / "c", cell), cell_folder(tmp_path / "whole", cell)
        assert plain(ours) == plain(theirs)
        assert same_tensors(ours, theirs)
