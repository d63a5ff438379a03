"""What a thousand clients cost, beside plain Flower with the same clients.

    uv run pytest tests/benchmarks/test_clients.py -m bench -s

The contestants take turns, each in a process on two CPUs; medians count. ``FEDSIM_BENCH_CLIENTS``
(1,000) and ``FEDSIM_BENCH_REPEATS`` (3) can be set.
"""

# ruff: noqa: T201 - the figures are what this is run for

import json
import os
import subprocess
import sys
from dataclasses import astuple, dataclass
from pathlib import Path
from statistics import median

import pytest

from tests.benchmarks.clients import CONTESTANTS, Size, Took
from tests.benchmarks.table import write_table

pytestmark = [
    pytest.mark.bench,
    pytest.mark.timeout(7200),
    pytest.mark.skipif(sys.platform != "linux", reason="binds processes to CPUs"),
]

REPEATS = int(os.environ.get("FEDSIM_BENCH_REPEATS", "3"))
SIZE = Size(int(os.environ.get("FEDSIM_BENCH_CLIENTS", "1000")), rounds=3, victims=32)
MOST = 1.2
"""Times the wall time of plain Flower and of the attack alone."""


@dataclass(frozen=True)
class Row:
    """A contestant, and what it took."""

    contestant: str
    seconds: float
    allowed: float
    cpu_seconds: float
    peak_mb: float


def in_a_process(name: str, size: Size) -> Took:
    """Return what a contestant took in a process of its own."""
    arguments = [sys.executable, "-m", "tests.benchmarks.clients", name, *map(str, astuple(size))]
    done = subprocess.run(
        arguments,
        cwd=Path(__file__).parents[2],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        check=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    return Took(**json.loads(done.stdout.splitlines()[-1]))


def test_a_thousand_clients_cost_little_more_than_in_flower() -> None:
    found: dict[str, list[Took]] = {name: [] for name in CONTESTANTS}
    for _ in range(REPEATS):
        for name, tries in found.items():
            tries.append(in_a_process(name, SIZE))
            print(name, tries[-1], flush=True)
    seconds = {name: median(t.seconds for t in tries) for name, tries in found.items()}
    allowed = {
        name: MOST * (seconds["flower"] + (seconds["attack"] if "attacked" in name else 0))
        for name in found
    }
    rows = [
        Row(
            name,
            seconds[name],
            allowed[name],
            median(t.cpu_seconds for t in tries),
            median(t.peak_mb for t in tries),
        )
        for name, tries in found.items()
    ]
    print("\n" + write_table("clients", rows))
    for name in found:
        assert name == "attack" or seconds[name] <= allowed[name], name
