"""Attacks on a Ray cluster that do not stop."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fedsim.attacks.types import OnProgress, ShouldStop
from tests.server.stubs import Stub

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]

ATTACK = """
from fedsim.attacks.types import ignore_progress
from fedsim.core.errors import AttackError
from fedsim.engine import attack_tasks
from fedsim.engine.workers import ray_workers
from fedsim.server.solving import Job
from tests.fedsim.engine.test_ray_attacks import Endless
from tests.victims import fashion_victims

attack_tasks.PATIENCE_S = 1.0
victims = fashion_victims(1)
with ray_workers(cpus=1):
    job = Job(Endless(), victims.model, victims.observations(), seed=0)
    wait = attack_tasks.on_cluster(job, ignore_progress, lambda: True)
    try:
        wait()
    except AttackError as error:
        print(error)
"""


class Endless(Stub):
    """Does not end, and does not ask whether it should."""

    def work(self, on_progress: OnProgress, should_stop: ShouldStop) -> None:
        """Sleep."""
        while True:
            time.sleep(1)


def output(folder: Path, code: str) -> str:
    """Return what a program in a folder prints."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_an_attack_that_does_not_stop_is_ended(tmp_path: Path) -> None:
    assert "did not stop within 1 s" in output(tmp_path, ATTACK)
