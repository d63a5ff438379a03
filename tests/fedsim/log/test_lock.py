"""A folder's lock: one process at a time, given up when the process dies."""

from pathlib import Path

import pytest

from fedsim.core.errors import RunError
from fedsim.engine.comparison import open_folder, run_cells
from fedsim.log.lock import locked
from tests.fedsim.engine.tiny import tiny


def test_a_second_holder_is_refused_until_the_first_is_done(tmp_path: Path) -> None:
    with locked(tmp_path), pytest.raises(RunError, match="another process"), locked(tmp_path):
        pass
    with locked(tmp_path):
        pass


def test_a_comparison_that_runs_is_not_run_twice(tmp_path: Path) -> None:
    open_folder(tiny(), tmp_path / "c")
    with locked(tmp_path / "c"), pytest.raises(RunError, match="another process is running"):
        run_cells(tiny(), tmp_path / "c")


def test_a_comparison_killed_while_its_folder_was_made_can_begin_again(tmp_path: Path) -> None:
    folder = tmp_path / "c"
    folder.mkdir()
    (folder / ".lock").touch()
    (folder / ".comparison.toml.part").write_text("title = ", "utf-8")
    open_folder(tiny(), folder)
    assert (folder / "comparison.toml").read_text("utf-8") == tiny().to_toml()
