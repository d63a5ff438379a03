"""A full disk: a clear error, and a folder in which what was finished can be read.

A limit on the size of files stands for the disk, as on a system with quotas: a write goes as far as
it can, and then fails.
"""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fedsim.core.errors import RunError
from fedsim.engine import run
from fedsim.engine.comparison import run_cells
from fedsim.log.reader import of_kind, read_records
from fedsim.log.schema import RunEnded, UploadRecord
from fedsim.log.writer import RunLog
from tests.fedsim.engine.tiny import tiny
from tests.fedsim.small import small

resource = pytest.importorskip("resource")
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX limits")


PLAIN = ("adaptive=false", "grid=[{}]")
"""Two quick runs, without a prior to train."""


@contextmanager
def room_for(size: int) -> Iterator[None]:
    """Let no file grow beyond a size."""
    usual = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, usual[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, usual)
        signal.signal(signal.SIGXFSZ, handler)


def test_tensors_that_do_not_fit_end_the_run_and_its_end_is_recorded(tmp_path: Path) -> None:
    whole = (run(small(), tmp_path / "whole") / "records.jsonl").stat().st_size
    with room_for(whole + 1000), pytest.raises(RunError, match="can no longer be written"):
        run(small("model.hidden=[40]"), tmp_path / "run")
    records = list(read_records(tmp_path / "run"))
    [end] = of_kind(records, RunEnded)
    assert end.status == "failed"
    assert "make space" in (end.error or "")
    assert len(of_kind(records, UploadRecord)) == 6


@pytest.mark.parametrize("less", [150, 700, 1500])
def test_records_that_do_not_fit_end_the_run_and_the_rest_is_readable(
    less: int, tmp_path: Path
) -> None:
    whole = run(small(), tmp_path / "whole")
    size = (whole / "records.jsonl").stat().st_size
    with room_for(size - less), pytest.raises(RunError, match="can no longer be written"):
        run(small("model.hidden=[1]"), tmp_path / "run")
    found, every = (list(read_records(f)) for f in (tmp_path / "run", whole))
    assert 0 < len(found) < len(every)
    assert [r.kind for r in found] == [r.kind for r in every[: len(found)]]


def test_a_comparison_goes_on_with_the_next_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save, begun = RunLog.save_tensors, list[Path]()

    def save_tensors(self: RunLog, name: str, tensors: object) -> str:
        begun.append(self.folder)
        if self.folder == begun[0]:
            raise RunError("the run folder can no longer be written")
        return save(self, name, tensors)  # type: ignore[arg-type]

    monkeypatch.setattr(RunLog, "save_tensors", save_tensors)
    done = run_cells(tiny(*PLAIN), tmp_path / "c")
    assert [d.error is None for d in done] == [False] + [True] * (len(done) - 1)
