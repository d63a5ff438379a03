"""A Ray cluster by its address: a real one of this machine, on the loopback interface."""

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fedsim.core.environment import ONE_MACHINE, VARIABLES
from fedsim.engine import run
from fedsim.log.reader import load_tensors, of_kind, read_records
from fedsim.log.schema import ReconstructionRecord, RunEnded, UploadRecord
from tests.fedsim.engine.ports import listening
from tests.fedsim.small import small
from tests.server.wire import same

pytestmark = [
    pytest.mark.ray,
    pytest.mark.timeout(600),
    pytest.mark.skipif(sys.platform != "linux", reason="reads /proc"),
]

RAY = [sys.executable, "-m", "ray.scripts.scripts"]
FEDSIM = [sys.executable, "-c", "from fedsim.cli.main import main; main()"]
WAIT_S = 120.0
ATTACK = "adversary={attack={name='dlg', evaluations=5}, rounds=[1], per_round=1, adaptive=false}"
"""One victim and a positive control."""


@pytest.fixture
def cluster() -> Iterator[str]:
    """Return the address of a cluster's head, which is stopped at the end."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # Not in the test's folder: the paths of Ray's sockets may have 107 bytes.
    with tempfile.TemporaryDirectory(prefix="ray", ignore_cleanup_errors=True) as folder:
        begin = [
            *RAY, "start", "--head", "--block", "--node-ip-address=127.0.0.1", f"--port={port}",
            "--num-cpus=2", "--include-dashboard=false", "--disable-usage-stats",
            f"--temp-dir={folder}",
        ]  # fmt: skip
        env = os.environ | VARIABLES | ONE_MACHINE
        with (Path(folder) / "head.log").open("w+", encoding="utf-8") as log:
            head = subprocess.Popen(begin, env=env, stdout=log, stderr=log)
            try:
                said = started(head, Path(log.name))
                assert "Ray runtime started" in said, said
                yield f"127.0.0.1:{port}"
            finally:
                head.terminate()
                head.wait(60)


def started(head: "subprocess.Popen[bytes]", log: Path) -> str:
    """Return what a head says until it has started, or has ended."""
    deadline = time.monotonic() + WAIT_S
    while head.poll() is None and time.monotonic() < deadline:
        if "Ray runtime started" in log.read_text("utf-8"):
            break
        time.sleep(0.2)
    return log.read_text("utf-8")


def test_clients_and_attacks_run_on_a_cluster(cluster: str, tmp_path: Path) -> None:
    case = small(ATTACK)
    inline = run(case, tmp_path / "inline")
    (tmp_path / "case.toml").write_text(case.to_toml(), "utf-8")
    arguments = ["run", "case.toml", "--ray-address", cluster, "--out", "ray", "--json"]
    done = subprocess.run(
        [*FEDSIM, *arguments], cwd=tmp_path, check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    ray = tmp_path / "ray"
    assert json.loads(done.stdout)
    assert of_kind(read_records(ray), RunEnded)[0].status == "finished"
    assert of_kind(read_records(ray), UploadRecord) == of_kind(read_records(inline), UploadRecord)
    assert same(*[load_tensors(f, "tensors/final-model.safetensors") for f in (inline, ray)])
    ours, theirs = (of_kind(read_records(f), ReconstructionRecord) for f in (inline, ray))
    assert [r.victim for r in ours] == [r.victim for r in theirs]
    assert all(address.startswith(("127.", "::1")) for address in listening())


@pytest.mark.parametrize(
    ("address", "error"),
    [("127.0.0.1:1", "no Ray cluster answers at 127.0.0.1:1"), ("127.0.0.1", "there is no port")],
)
def test_an_address_without_a_cluster_is_an_error(tmp_path: Path, address: str, error: str) -> None:
    (tmp_path / "case.toml").write_text(small().to_toml(), "utf-8")
    arguments = ["run", "case.toml", "--ray-address", address, "--out", "ray"]
    done = subprocess.run(
        [*FEDSIM, *arguments], cwd=tmp_path, check=False, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert error in done.stderr
    assert "Traceback" not in done.stderr
