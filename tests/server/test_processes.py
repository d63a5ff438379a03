"""Processes that compute for this one."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from fedsim.server import processes
from fedsim.server.processes import call
from tests.server.stubs import WAIT_S


@pytest.mark.slow
def test_a_call() -> None:
    assert call(1, os.getpid) != os.getpid()
    assert call(2, torch.get_num_threads) == 2


@pytest.mark.slow
def test_modules_in_the_current_folder_are_not_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "_resting", [])
    monkeypatch.setattr(sys, "path", list(map(os.path.abspath, sys.path)))
    for name in ("queue", "pickle", "torch"):
        (tmp_path / f"{name}.py").write_text(f"open('{name} was run', 'w')")
    monkeypatch.chdir(tmp_path)
    assert call(1, os.getpid) != os.getpid()
    assert not list(tmp_path.glob("* was run"))
    processes._end()


PARENT = """
import os
from fedsim.server.processes import call
print(call(1, os.getpid), flush=True)
input()
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="asks Linux and macOS for a process")
def test_a_process_ends_with_the_one_that_started_it() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    ) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert _lives(child)
        parent.kill()
    until = time.monotonic() + WAIT_S
    while _lives(child):
        assert time.monotonic() < until
        time.sleep(0.05)


def _lives(process: int) -> bool:
    """Return whether a process lives; one that has ended and was not waited for does not."""
    said = subprocess.run(
        ["ps", "-o", "state=", "-p", str(process)], check=False, capture_output=True, text=True
    )
    return said.stdout.strip() not in ("", "Z")


def test_nothing_listens_to_a_process_that_was_closed() -> None:
    """A thread that frees tensors while Python ends aborts the program."""
    process = processes.Process()
    process.began.wait()
    assert process._listener.is_alive()
    process.close()
    assert not process._listener.is_alive()
