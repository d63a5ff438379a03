"""A run is a folder, written as the run goes and readable at any moment.

::

    records.jsonl      one JSON object per line; the first holds the format's version
    scenario.toml      the resolved scenario
    report.html        all of it for a reader, written at the end
    flower.log         what Flower and Ray had to say
    tensors/*.safetensors
    pictures/*.png, *.gif

Records are flushed line by line, and every other file appears whole or not at all, so a run
that dies leaves everything that it had finished. Nothing in the folder is ever unpickled.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedsim.core.errors import RunError

if TYPE_CHECKING:
    from torch import Tensor

FORMAT = 1
RECORDS = "records.jsonl"
SCENARIO = "scenario.toml"
SAFE_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")

Record = dict[str, Any]


class RunLog:
    """The folder of one run, open for writing.

    Args:
        folder: created with its parents; must be empty or not exist.

    Raises:
        RunError: the folder holds something already, or cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.Lock()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if any(folder.iterdir()):
                raise RunError(
                    f"{folder}: this folder is not empty; give --out a new one, "
                    "so that no earlier run is overwritten"
                )
            for part in ("tensors", "pictures"):
                (folder / part).mkdir()
            # A lone surrogate (in a file name, say) is then written as the JSON escape that it is.
            self._records = (folder / RECORDS).open(
                "a", encoding="utf-8", errors="backslashreplace"
            )
        except OSError as error:
            raise RunError(
                f"{folder}: the run folder cannot be written: {error.strerror or error}; "
                "give --out a folder that you may write to"
            ) from None

    def append(self, kind: str, **values: Any) -> Record:
        """Append one record and return it; safe to call from several threads.

        Numbers that are not finite are written as null: JSON has no others.
        """
        record = {"kind": kind, **values}
        line = json.dumps(_finite(record), ensure_ascii=False, allow_nan=False)
        with self._lock:
            self._records.write(line + "\n")
            self._records.flush()
        return record

    def write_text(self, name: str, text: str) -> None:
        """Write a text file at the top of the folder."""
        path = self._path("", name)
        scratch = path.with_name(f".{path.name}.part")
        scratch.write_text(text, encoding="utf-8")
        scratch.replace(path)

    def save_tensors(self, name: str, tensors: Mapping[str, Tensor]) -> str:
        """Save tensors under a name made by fedsim; return the file's place in the folder."""
        from safetensors.torch import save_file  # noqa: PLC0415  (readers need no torch)

        path = self._path("tensors", f"{name}.safetensors")
        scratch = path.with_name(f".{path.name}.part")
        save_file({k: t.detach().cpu().contiguous() for k, t in tensors.items()}, scratch)
        scratch.replace(path)
        return path.relative_to(self.folder).as_posix()

    def picture_path(self, name: str) -> Path:
        """Return where a picture of this name, made by fedsim, belongs."""
        return self._path("pictures", name)

    def close(self) -> None:
        """Close the records; the folder can be read before and after."""
        self._records.close()

    def _path(self, part: str, name: str) -> Path:
        """Return a path inside the folder for a plain file name."""
        if not SAFE_NAME.fullmatch(name):
            raise RunError(f"{name!r} is not a file name that a run folder may hold")
        return self.folder / part / name


def read_records(folder: Path) -> Iterator[Record]:
    """Yield the records of a run, finished or not.

    A last line that was cut off while it was written is left out.

    Raises:
        RunError: the folder holds no run, or one of a format that this version cannot read.
    """
    path = folder / RECORDS
    try:
        whole = path.read_bytes()
    except OSError:
        raise RunError(
            f"{folder}: this is no run folder: it has no readable {RECORDS}; "
            "give the folder that `fedsim run` named"
        ) from None
    # Split before it is decoded: a line may be cut off inside a character.
    for number, line in enumerate(whole.split(b"\n")[:-1]):
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise RunError(f"{path}, line {number + 1}: this is not JSON: {error}") from None
        if not isinstance(record, dict):
            raise RunError(f"{path}, line {number + 1}: this is no record: {record!r:.60}")
        if number == 0 and record.get("format") != FORMAT:
            raise RunError(
                f"{path}: format {record.get('format')!r}; this version of fedsim reads {FORMAT}"
            )
        yield record


def inside(folder: Path, name: str) -> Path:
    """Return the path of a file that a record names.

    Raises:
        RunError: the place is outside the folder, or there is no such file.
    """
    try:
        path = (folder / name).resolve()
        found = path.is_relative_to(folder.resolve()) and path.is_file()
    except (OSError, ValueError):  # no name that a file could have
        found = False
    if not found:
        raise RunError(f"{folder}: there is no file {name!r} inside this run folder")
    return path


def load_tensors(folder: Path, name: str) -> dict[str, Tensor]:
    """Load tensors of a run by the place that its record names.

    Raises:
        RunError: the place is outside the folder, or there is no such file, or no tensors in it.
    """
    # Readers of records need no torch.
    from safetensors import SafetensorError  # noqa: PLC0415
    from safetensors.torch import load_file  # noqa: PLC0415

    path = inside(folder, name)
    try:
        return load_file(path)
    except SafetensorError as error:
        raise RunError(f"{path}: this is no file of tensors: {error}") from None


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if value - value == 0 else None
    if isinstance(value, Mapping):
        return {k: _finite(v) for k, v in value.items()}
    return [_finite(v) for v in value] if isinstance(value, list | tuple) else value
