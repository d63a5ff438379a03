"""Peak memory of attacks: bounded by the chunk, whatever the number of victims or the batch.

    uv run pytest tests/benchmarks/test_memory.py -m bench -s

Each point is a process of its own, whose peak resident size is read at its end.
"""

# ruff: noqa: T201 - the figures are what this is run for

import subprocess
import sys
from dataclasses import dataclass

import numpy as np
import pytest

from tests.benchmarks.table import write_table

pytestmark = [pytest.mark.bench, pytest.mark.timeout(1800)]

RUN = """
import resource, sys
import torch
from fedsim.attacks import IDLG
from fedsim.attacks.matching.problem import Problem
from tests.victims import random_victims

torch.set_num_threads(1)
victims, lanes = int(sys.argv[1]), int(sys.argv[2])
drawn = random_victims((3, 32, 32), count=victims, classes=10)
observations = drawn.observations()
attack = IDLG(evaluations=20, history=100, tolerance=0.0)
Problem.room = property(lambda self: lanes)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
attack.run(drawn.model, observations)
print(before / 1000, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000)
"""

BATCH = """
import resource
import numpy as np
import torch
from torch import nn
from fedsim.attacks import IDLG
from fedsim.engine.audit.examples import AppData, Tensors
from fedsim.log.schema import Meaning
from fedsim.modalities.pictures.judge import PictureJudge
from fedsim.scoring.conclusion import Conclusion
from tests.victims import random_victims

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6

torch.set_num_threads(1)
drawn = random_victims((3, 32, 32), count=1, classes=10, batch_size=1598)
evaluations = 0
def stop():
    global evaluations
    evaluations += 1
    return evaluations > 3
before = peak()
[seen] = drawn.observations()
[found] = IDLG(evaluations=100, history=100).run(drawn.model, [seen], should_stop=stop)
attack = peak()
public = Tensors(torch.rand(200, 3, 32, 32), torch.arange(200) % 10)
judge = PictureJudge(AppData("random", public, public, tuple("0123456789")), nn.Identity())
judge.judge(
    found, drawn.images[0], drawn.labels[0], torch.arange(0),
    lambda word, below: Conclusion(Meaning.ATTACK_FAILED),
)
print(before, attack, peak())
"""


def test_a_batch_as_large_as_that_of_a_secure_sum() -> None:
    """1,598 colour pictures of 32 x 32, as three clients of the quickstart have them together."""
    command = [sys.executable, "-c", BATCH]
    printed = subprocess.run(command, capture_output=True, text=True, check=False)
    assert printed.returncode == 0, printed.stderr[-2000:]
    before, attack, scored = map(float, printed.stdout.split())
    print(f"\n{before:.2f} GB before, {attack:.2f} GB with the attack, {scored:.2f} GB with scores")
    assert scored < 4


@dataclass(frozen=True)
class Peak:
    """How much memory an attack took beyond what its process had before."""

    victims: int
    lanes_at_once: int
    before_mb: float
    attack_mb: float


def peak(victims: int, lanes: int) -> Peak:
    command = [sys.executable, "-c", RUN, str(victims), str(lanes)]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    before, after = map(float, printed.split())
    return Peak(victims, lanes, before, after - before)


def test_peak_memory() -> None:
    by_victims = [peak(victims, 8) for victims in (8, 32, 128)]
    by_lanes = [peak(256, lanes) for lanes in (32, 64, 128, 256)]
    print("\n" + write_table("memory", [*by_victims, *by_lanes]))
    few, _, many = (p.attack_mb for p in by_victims)
    # Results are kept: 5 snapshots of 12 kB for each victim.
    assert many - few < 0.5 * few + 128 * 5 * 0.0123 + 20
    lanes, peaks = ([getattr(p, k) for p in by_lanes] for k in ("lanes_at_once", "attack_mb"))
    slope, fixed = np.polyfit(lanes, peaks, 1)
    assert slope > 0
    for count, measured in zip(lanes, peaks, strict=True):
        assert measured == pytest.approx(fixed + slope * count, rel=0.15)
