"""Peak memory grows with the chunk and not with the number of victims.

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
