"""What a run costs as its rounds go on: time of a round, memory, and size of the folder.

    uv run pytest tests/benchmarks/test_rounds.py -m bench -s

Ten clients on clothes train for 1,000 rounds (``FEDSIM_BENCH_ROUNDS``), five with states; one
victim of every hundredth round is attacked.
"""

# ruff: noqa: T201 - the figures are what this is run for

import os
import resource
import time
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import pytest

from fedsim.engine import Observer, run
from fedsim.log.folders import RECORDS
from fedsim.log.schema import LogRecord, UploadRecord
from fedsim.scenario import Scenario
from tests.benchmarks.table import write_table

pytestmark = [pytest.mark.bench, pytest.mark.timeout(3600)]

ROUNDS = int(os.environ.get("FEDSIM_BENCH_ROUNDS", "1000"))
PARTS = 5
PLAN = f"""
title = "Many rounds"
model = {{ name = "lenet" }}

[federation]
rounds = {ROUNDS}
upload = "gradient"
batch_size = 1
learning_rate = 0.05
evaluate_every = {ROUNDS}

[adversary]
attack = "best"
per_round = 1
victims = ["plain"]
rounds = {list(range(ROUNDS // 10, ROUNDS + 1, ROUNDS // 10))}

[[clients]]
name = "plain"
count = 5

[[clients]]
name = "compressed"
count = 5
defenses = [{{ name = "dgc", fraction = 0.9 }}]
"""
PAGE = resource.getpagesize()


@dataclass(frozen=True)
class Part:
    """A part of the rounds."""

    rounds: str
    ms_per_round: float
    resident_mb: float
    records_kb_per_round: float


@dataclass
class Watch(Observer):
    """Takes the time, the resident memory and the size of the records at the end of each round."""

    seen: dict[int, tuple[float, float, int]] = field(default_factory=dict)

    def on_record(self, record: LogRecord) -> None:
        if isinstance(record, UploadRecord) and record.partition == 9 and self.folder is not None:
            pages = int(Path("/proc/self/statm").read_text().split()[1])
            size = (self.folder / RECORDS).stat().st_size
            self.seen[record.round] = time.monotonic(), pages * PAGE / 1e6, size


def test_rounds_cost_the_same_from_first_to_last(tmp_path: Path) -> None:
    watch = Watch()
    folder = run(Scenario.from_toml(PLAN), tmp_path / "run", observer=watch)
    size = ROUNDS // PARTS
    parts = []
    for begin in range(1, ROUNDS, size):
        rounds = range(begin, begin + size)
        times = [watch.seen[r + 1][0] - watch.seen[r][0] for r in rounds if r + 1 in watch.seen]
        first, last = watch.seen[begin], watch.seen[rounds[-1]]
        grown = (last[2] - first[2]) / 1000 / size
        memory = median(watch.seen[r][1] for r in rounds)
        parts.append(Part(f"{begin} to {rounds[-1]}", 1000 * median(times), memory, grown))
    print("\n" + write_table("rounds", parts))
    total = sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())
    print(f"folder: {total / 1e6:.1f} MB, {total / 1000 / ROUNDS:.1f} kB a round")
    assert parts[-1].resident_mb <= 1.05 * parts[1].resident_mb
    assert parts[-1].ms_per_round <= 1.5 * parts[1].ms_per_round
