"""Comparison of two runs of one scenario, figure by figure, for all formats of the log.

::

    python -m fedsim.log.compare OLD NEW

prints each difference between two run folders, and fails if there are any. Times, versions,
documentation and the command are ignored.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fedsim.core.errors import FedsimError
from fedsim.log.reader import read_records
from fedsim.log.schema import LeakageRecord, LogRecord, RunEnded, RunStarted, dump

IGNORED = {
    "command",
    "costs",
    "estimate_s",
    "format",
    "plugins",
    "seconds",
    "sources",
    "started",
    "title",
    "versions",
}
"""Keys whose values may differ between two runs that agree."""

Key = tuple[object, ...]


def differences(old: Path, new: Path) -> list[str]:
    """Return the differences between the figures of two runs, one line each.

    Args:
        old: a run folder.
        new: another run folder, possibly with another format and order of records.

    Raises:
        RunError: a folder is not a run folder, or its records cannot be read.
    """
    before, after = _figures(old), _figures(new)
    lines = [f"{_told(key)}: only in {old}" for key in before if key not in after]
    lines += [f"{_told(key)}: only in {new}" for key in after if key not in before]
    for key in before.keys() & after.keys():
        one, other = before[key], after[key]
        lines += [
            f"{_told(key)}: {name}: {one.get(name)!r} became {other.get(name)!r}"
            for name in {**one, **other}
            if (name in one, one.get(name)) != (name in other, other.get(name))
        ]
    return sorted(lines)


def _figures(folder: Path) -> dict[Key, dict[str, object]]:
    """Return the compared values, by record and name."""
    return {_identity(r): dict(_leaves(dump(r))) for r in read_records(folder)}


def _identity(record: LogRecord) -> Key:
    """Return a record's kind and the values that identify it."""
    if isinstance(record, RunStarted | RunEnded):
        return (record.kind,)
    names = ("victim", "round", "partition", "example")
    found = (getattr(record, name, None) for name in names)
    example = record.score.example if isinstance(record, LeakageRecord) else None
    return (record.kind, *(value for value in (*found, example) if value is not None))


def _leaves(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, object]]:
    if isinstance(value, dict):
        for key, part in value.items():
            if key not in IGNORED:
                yield from _leaves(part, (*path, str(key)))
    else:
        yield ".".join(path), value


def _told(key: Key) -> str:
    return " ".join(map(str, key))


def main(arguments: list[str]) -> int:
    """Compare two run folders, and return the exit status."""
    if len(arguments) != 2:
        sys.stderr.write("usage: python -m fedsim.log.compare OLD NEW\n")
        return 2
    old, new = map(Path, arguments)
    try:
        lines = differences(old, new)
        count = sum(map(len, _figures(old).values()))
    except FedsimError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    sys.stdout.write("\n".join(lines or [f"all {count} figures agree"]) + "\n")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
