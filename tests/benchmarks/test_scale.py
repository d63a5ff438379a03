"""What grows with clients, rounds, parameters and victims of a run in one process.

    uv run pytest tests/benchmarks/test_scale.py -m bench -s

Each run is a process of its own. Its processor time counts, which other jobs hardly change, and its
peak of memory. The table has the growth between the smallest and the largest run of each row.
"""

# ruff: noqa: T201 - the figures are what this is run for

import sys
from dataclasses import dataclass, replace

import pytest

from tests.benchmarks.clients import Size, Took
from tests.benchmarks.table import write_table
from tests.benchmarks.test_clients import in_a_process

pytestmark = [
    pytest.mark.bench,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(sys.platform != "linux", reason="binds processes to CPUs"),
]

BASE = Size(clients=32, rounds=3, victims=4)
PER_HIDDEN = 28 * 28 + 1 + 10
"""Parameters of one hidden unit of the model."""


@dataclass(frozen=True)
class Row:
    """A coefficient."""

    grows_with: str
    from_to: str
    cpu_seconds: str
    peak_mb: str
    ms_each: float
    mb_each: float


AT_MOST = {
    "clients": (22, 0.8),
    "rounds": (22 * BASE.clients, 1.0),
    "1,000 parameters x clients": (0.08, 0.022),
    "victims": (320, 8),
}
"""Milliseconds in each round and MB for one more, twice the figures of ``docs/scale.md``."""


def sizes(name: str) -> list[tuple[float, Size, str]]:
    """Return the number that grows, the run and the contestant, from small to large."""
    if name == "clients":
        return [(n, replace(BASE, clients=n), "inline") for n in (100, 400)]
    if name == "rounds":
        return [(n, replace(BASE, rounds=n), "inline") for n in (3, 10)]
    if name == "1,000 parameters x clients":
        each = BASE.clients * PER_HIDDEN / 1000
        return [(each * n, replace(BASE, hidden=n), "inline") for n in (64, 2048)]
    return [(n, replace(BASE, victims=n), "inline, attacked") for n in (4, 16)]


def row(name: str) -> Row:
    """Measure one coefficient."""
    found: list[tuple[float, Took]] = []
    for number, size, contestant in sizes(name):
        found.append((number, in_a_process(contestant, size)))
        print(name, number, found[-1][1], flush=True)
    (low, first), (high, last) = found[0], found[-1]
    rounds = 1 if name == "rounds" else BASE.rounds
    return Row(
        name,
        ", ".join(f"{n:,.0f}" for n, _ in found),
        ", ".join(f"{t.cpu_seconds:.1f}" for _, t in found),
        ", ".join(f"{t.peak_mb:.0f}" for _, t in found),
        1000 * (last.cpu_seconds - first.cpu_seconds) / (high - low) / rounds,
        (last.peak_mb - first.peak_mb) / (high - low),
    )


def test_what_grows() -> None:
    """Each coefficient is at most twice that of the page."""
    rows = [row(name) for name in AT_MOST]
    print("\n" + write_table("scale", rows))
    for each in rows:
        milliseconds, megabytes = AT_MOST[each.grows_with]
        assert 0 < each.ms_each <= milliseconds, each
        assert each.mb_each <= megabytes, each
