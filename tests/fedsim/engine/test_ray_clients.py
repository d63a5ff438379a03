"""Clients on Ray that end their worker, or do not answer."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from fedsim.log.reader import of_kind, read_records
from fedsim.log.schema import RunEnded, UploadRecord
from tests.fedsim.small import small
from tests.server.bad_clients import BAD

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]

ROUNDS = 3
HARM = """
import importlib, os, sys, time
from pathlib import Path
from fedsim.scenario import load_scenario
from tests.server.bad_clients import with_one_bad_client

runs = importlib.import_module("fedsim.engine.run")
harm, times, folder = sys.argv[1], int(sys.argv[2]), Path.cwd()
case = load_scenario("case.toml")

def damage(reply):
    done = len(list(folder.glob("done-*")))
    if done < times:
        (folder / f"done-{done}").touch()
        os._exit(1) if harm == "die" else time.sleep(1e6)

runs.make_client_app = lambda scenario, plugins: with_one_bad_client(case, damage)
runs.run(case, Path("run"), engine="ray")
"""


@pytest.mark.parametrize(
    ("harm", "times", "failing"), [("die", 100, [1, 2, 3]), ("hang", 1, [1])], ids=["die", "hang"]
)
def test_a_client_that_ends_or_holds_its_worker_fails_alone(
    harm: str, times: int, failing: list[int], tmp_path: Path
) -> None:
    # Waits long enough for workers to start on a busy machine.
    case = small(f"federation.rounds={ROUNDS}", "federation.timeout_s=90.0")
    (tmp_path / "case.toml").write_text(case.to_toml(), "utf-8")
    done = subprocess.run(
        [sys.executable, "-c", HARM, harm, str(times)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    records = list(read_records(tmp_path / "run"))
    failed = [(u.round, u.partition) for u in of_kind(records, UploadRecord) if u.problem]
    assert failed == [(number, BAD) for number in failing]
    assert len(of_kind(records, UploadRecord)) == ROUNDS * case.num_clients
    assert of_kind(records, RunEnded)[0].status == "finished"
