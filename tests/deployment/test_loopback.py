"""Deployments on this machine: nodes under TLS, and Flower's local simulation."""

import os
import signal
from pathlib import Path

import pytest

from fedsim.log.reader import of_kind, read_records
from fedsim.log.schema import (
    LeakageRecord,
    Meaning,
    RunEnded,
    RunStarted,
    SumRecord,
    UploadRecord,
)
from tests.deployment.loopback import SCENARIO, deployed_run, flwr_run, free_port, quiet

pytestmark = [pytest.mark.deployment, pytest.mark.timeout(1800)]

SECURE = SCENARIO.replace("[adversary]", "aggregation = { name = 'secagg+' }\n\n[adversary]")


def check(folder: Path, engine: str) -> None:
    records = list(read_records(folder))
    assert of_kind(records, RunStarted)[0].engine == engine
    assert of_kind(records, RunEnded)[0].status == "finished"
    uploads = of_kind(records, UploadRecord)
    assert [u.problem for u in uploads] == [None] * 3
    assert {u.partition for u in uploads} == {0, 1, 2}


def test_three_nodes_under_tls_leak(tmp_path: Path) -> None:
    folder = deployed_run(tmp_path / "deployment")
    check(folder, "deployment")
    scores = [r.score for r in of_kind(read_records(folder), LeakageRecord) if not r.is_control]
    assert len(scores) == 3
    assert Meaning.LEAKED in {score.meaning for score in scores}


def test_secure_aggregation_under_tls_shows_the_sum_alone(tmp_path: Path) -> None:
    folder = deployed_run(tmp_path / "deployment", SECURE)
    check(folder, "deployment")
    records = list(read_records(folder))
    [total] = of_kind(records, SumRecord)
    assert total.partitions == (0, 1, 2)
    assert total.problem is None
    assert {r.partition for r in of_kind(records, LeakageRecord)} == {None}


def test_flowers_local_simulation(tmp_path: Path) -> None:
    environment = quiet(tmp_path / "home")
    port = free_port()
    environment["FLWR_LOCAL_SUPERLINK_HTTP_API_PORT"] = str(port)
    (tmp_path / "scenario.toml").write_text(SCENARIO)
    try:
        folder = flwr_run(tmp_path, "local", environment, "--federation-config", "num-supernodes=3")
        check(folder, "deployment")
    finally:
        stop(port)


def stop(port: int) -> None:
    """Stop the SuperLink that Flower has started by itself, which would stay."""
    for place in Path("/proc").glob("[0-9]*"):
        try:
            words = (place / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if str(port).encode() in words and any(b"superlink" in word for word in words):
            os.kill(int(place.name), signal.SIGTERM)
