"""Table of a profile: processor time by parts of the program.

    uv run --with py-spy py-spy record -s -f raw -o profile.txt -- .venv/bin/python -m fedsim run
    uv run python -m tests.benchmarks.profiled profile.txt

py-spy samples all threads of all processes and leaves out those that wait, so that a sample is
processor time.
"""

# ruff: noqa: T201 - the table is what this is run for

import sys
from collections import Counter
from pathlib import Path

WAITS = ("read_frame (", "_heard (", "follow (fedsim/server/side_by_side")
"""Threads that wait for another process, which py-spy takes for work."""
PARTS = {
    "imports": ("_find_and_load (",),
    "prior of the adaptive attacker": ("train_denoiser (",),
    "attacks": ("server/solving.py",),
    "scores": ("fedsim/scoring/", "fedsim/modalities/"),
    "records": ("fedsim/log/",),
    "report, pictures": ("fedsim/show/",),
    "training": ("/clients/", "fedsim/engine/inline.py"),
    "evaluation, aggregation": ("/server/",),
}
"""Parts, and what a stack of one holds; the first that fits counts."""


def part_of(stack: str) -> str:
    """Return the part of the program that a stack belongs to."""
    return next((name for name, marks in PARTS.items() if any(m in stack for m in marks)), "other")


def shares(lines: list[str]) -> dict[str, float]:
    """Return the share of each part, from the lines of py-spy's raw format."""
    found: Counter[str] = Counter()
    for line in lines:
        stack, _, samples = line.rpartition(" ")
        if any(wait in stack.rpartition(";")[2] for wait in WAITS):
            continue
        found[part_of(stack)] += int(samples)
    total = sum(found.values())
    return {name: number / total for name, number in found.most_common()}


if __name__ == "__main__":
    print("| part | share of processor time |\n|---|---|")
    for name, share in shares(Path(sys.argv[1]).read_text("utf-8").splitlines()).items():
        print(f"| {name} | {share:.0%} |")
