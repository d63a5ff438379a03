"""Reading of a run folder's records and tensors, which are not trusted."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import ValidationError

from fedsim.core.errors import RunError, UnknownNameError
from fedsim.core.measures import Measure
from fedsim.core.text import harmless
from fedsim.log.folders import RECORDS
from fedsim.log.migrate import FORMATS, migrate, unnamed_modality
from fedsim.log.schema import KINDS, LeakageRecord, LogRecord, Meaning, RunStarted, parse

if TYPE_CHECKING:
    from torch import Tensor

MAX_SIZE = 2**30
"""Maximum size of a file of records, in bytes."""

UNSAFE = re.compile(
    rb"\\[ubfrnt]|\x7f|\xc2[\x80-\x9f]|\xd8\x9c|\xe2\x80[\x8e\x8f\xa8-\xae]|\xe2\x81[\xa6-\xa9]"
)
"""A line of JSON that can hold control characters: escaped ones, or as UTF-8."""

Kind = TypeVar("Kind", bound=LogRecord)


def read_records(folder: Path) -> Iterator[LogRecord]:
    """Yield the records of a run, finished or not, beginning with `RunStarted`.

    An incomplete last line is skipped, and so are records of kinds that only later versions know.

    Raises:
        RunError: the folder is not a run folder, or a line of it is not a record; the message
            names the line and the key.
    """
    path, whole = folder / RECORDS, _whole(folder)
    for _, record in _numbered(path, whole):
        yield record


def readable(folder: Path) -> tuple[list[bytes], list[LogRecord]]:
    """Return the lines of a run's records, up to the first that is not one, and their records.

    After a power cut the last lines can be anything. Records of kinds that only later versions know
    are left out.

    Raises:
        RunError: the folder is not a run folder.
    """
    lines: list[bytes] = []
    records: list[LogRecord] = []
    try:
        for line, record in _numbered(folder / RECORDS, _whole(folder)):
            lines.append(line)
            records.append(record)
    except RunError:
        if not records:
            raise
    return lines, records


def _whole(folder: Path) -> bytes:
    try:
        return read_inside(folder, RECORDS)
    except (OSError, RunError):
        raise RunError(
            f"{folder}: not a run folder: it has no readable {RECORDS}; "
            "give the folder that `fedsim run` printed"
        ) from None


def _numbered(path: Path, whole: bytes) -> Iterator[tuple[bytes, LogRecord]]:
    """Yield the lines of a log with their records."""
    # Split before decoding, because a line may be cut off inside a character.
    version, measure, modality = 0, None, unnamed_modality(whole)
    for number, line in enumerate(whole.split(b"\n")[:-1], start=1):
        place = f"{path}, line {number}"
        values = _values(line, place)
        if number == 1:
            version = _version(values, path)
        if number > 1 and _is_later(values):
            continue
        record = _record(migrate(values, version, modality), place)
        if number == 1:
            measure = _measure(record, place)
        elif measure is not None and isinstance(record, LeakageRecord):
            _check(record, measure, place)
        yield line, record


def of_kind(records: Iterable[LogRecord], kind: type[Kind]) -> list[Kind]:
    """Return the records of one kind, in order."""
    return [record for record in records if isinstance(record, kind)]


def inside(folder: Path, name: str) -> Path:
    """Return the path of a file named by a record.

    Raises:
        RunError: the path is outside the folder, or there is no such file.
    """
    try:
        path = (folder / name).resolve()
        found = path.is_relative_to(folder.resolve()) and path.is_file()
    except (OSError, ValueError):  # not a valid file name
        found = False
    if not found:
        raise RunError(f"{folder}: there is no file {name!r} inside this run folder")
    return path


def read_inside(folder: Path, name: str) -> bytes:
    """Return the contents of a file in a folder, which is not trusted.

    Raises:
        RunError: there is no such file, it is larger than a gigabyte, or it is not a plain file
            inside the folder: a link that leads out, a pipe or a device.
        OSError: it cannot be read.
    """
    path = inside(folder, name)
    size = path.stat().st_size
    if size > MAX_SIZE:
        raise RunError(f"{path}: {size} bytes; expected at most {MAX_SIZE}")
    return path.read_bytes()


def load_tensors(folder: Path, name: str) -> dict[str, Tensor]:
    """Load the tensors of a file named by a record.

    Raises:
        RunError: the path is outside the folder, or the file is missing or not a file of tensors.
    """
    # Readers of records do not need torch.
    from safetensors import SafetensorError  # noqa: PLC0415
    from safetensors.torch import load_file  # noqa: PLC0415

    path = inside(folder, name)
    try:
        return load_file(path)
    except SafetensorError as error:
        raise RunError(f"{path}: not a file of tensors: {error}") from None


def holds_tensors(folder: Path, name: str) -> bool:
    """Return whether a file named by a record is a whole file of tensors; no value is read."""
    from safetensors import SafetensorError, safe_open  # noqa: PLC0415

    try:
        with safe_open(inside(folder, name), "np"):
            return True
    except (RunError, SafetensorError, OSError):
        return False


def _values(line: bytes, place: str) -> dict[str, Any]:
    try:
        values = json.loads(line)
        if UNSAFE.search(line):
            values = harmless(values)
    except (ValueError, RecursionError) as error:
        raise RunError(f"{place}: not valid JSON: {error}") from None
    if not isinstance(values, dict):
        raise RunError(f"{place}: not a record: {values!r:.60}")
    return values


def _is_later(values: dict[str, Any]) -> bool:
    """Return whether only a later version knows the kind of a record."""
    kind = values.get("kind")
    return isinstance(kind, str) and kind not in KINDS


def _version(values: dict[str, Any], path: Path) -> int:
    found = values.get("format")
    if type(found) is not int or found not in FORMATS:
        known = " and ".join(map(str, FORMATS))
        raise RunError(f"{path}: format {found!r:.60}; this version of fedsim reads {known}")
    return found


def _record(values: dict[str, Any], place: str) -> LogRecord:
    try:
        return parse(values)
    except ValidationError as error:
        first = error.errors()[0]
        # The first part is the kind, which the message does not repeat.
        key = ".".join(map(str, first["loc"][1:])) or "kind"
        raise RunError(f"{place}: {key}: {first['msg']}, not {first['input']!r:.60}") from None


def _measure(record: LogRecord, place: str) -> Measure:
    if not isinstance(record, RunStarted):
        raise RunError(f"{place}: kind: expected 'run' in the first record, not {record.kind!r}")
    try:
        return record.measure
    except UnknownNameError as error:
        raise RunError(f"{place}: modality: {error}") from None


def _check(record: LeakageRecord, measure: Measure, place: str) -> None:
    """Check that a score can be compared with a blind guess, unless nothing was compared."""
    if record.score.meaning is Meaning.NOT_COMPARED:
        return
    try:
        record.score.blind(measure)
    except RunError as error:
        raise RunError(f"{place}: {error}") from None
