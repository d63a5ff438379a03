"""Flower's PyTorch quickstart, as it is created and through SecAgg+, audited at full size.

Prints seconds, memory (of the secure one alone with ``-k secagg``) and headlines; no assertion
depends on them.
"""

import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fedsim.cli.threshold import LEAKS, NO_EVIDENCE
from fedsim.log.ladder import read_ladder
from fedsim.log.run import Run
from fedsim.log.schema import Meaning, SumRecord
from tests.fedsim.engine.audit.quickstart import write

pytestmark = [pytest.mark.paper, pytest.mark.timeout(1800)]


@pytest.mark.parametrize(
    ("secure", "options"),
    [(False, []), (True, ["--clients", "3"]), (False, ["--ladder"])],
    ids=["as created", "secagg+", "ladder"],
)
def test_the_quickstart_is_audited_to_a_report(
    secure: bool, options: list[str], tmp_path: Path
) -> None:
    app, out = write(tmp_path / "app", secure=secure), tmp_path / "run"
    asked = ["audit", str(app), "--model", "pytorchexample.task:Net", "--fail-above", "0", "--json"]
    command = [sys.executable, "-c", "from fedsim.cli.main import main; main()"]
    began = time.monotonic()
    done = subprocess.run(
        [*command, *asked, "--out", str(out), *options],
        capture_output=True,
        text=True,
        check=False,
        timeout=1800,
    )
    found = json.loads(done.stdout.strip().splitlines()[-1])
    seconds = time.monotonic() - began
    sys.stdout.write(f"\n{seconds:.0f} s, exit code {done.returncode}: {found['headline']}\n")
    most = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e6  # of all cases so far
    sys.stdout.write(f"largest process: {most:.1f} GB\n")
    assert (out / "report.html").is_file()
    # Code 0 would be a false 'safe': nothing is defended, and the control is not reconstructed.
    leaks = bool(found["examples"].get("leaked") or found["examples"].get("partly leaked"))
    assert done.returncode == (LEAKS if leaks else NO_EVIDENCE), done.stderr[-2000:]
    assert "protected" not in found["examples"]
    assert not found["gaps"]
    if secure:
        sums = Run.read(out).of_kind(SumRecord)
        assert [total.partitions for total in sums] == [(0, 1, 2)] * 3
    if "--ladder" in options:
        rungs = read_ladder(out / "ladder").rungs
        opened = [r.found is not None and Meaning.LEAKED in r.found.meanings for r in rungs]
        for rung in rungs:
            meanings = rung.not_run if rung.found is None else dict(rung.found.meanings)
            sys.stdout.write(f"{rung.changed}: {meanings}\n")
        assert opened[0], "the easiest setting leaks"
        assert not opened[-1]
