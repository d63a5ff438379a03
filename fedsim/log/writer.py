"""The run folder, written during the run and readable at any time.

::

    records.jsonl      one JSON object per line; the first holds the format's version
    scenario.toml      the resolved scenario
    flower.log         messages of Flower and Ray
    tensors/*.safetensors
    checkpoints/*      while the run is unfinished: see `fedsim.engine.checkpoints`

Readers add to it, from these files alone::

    pictures/*.png, *.gif
    report.html        all of it for a reader

Records are flushed line by line, and all other files are written atomically, so a run that dies
leaves everything that it had finished. Nothing in the folder is ever unpickled.
"""

from __future__ import annotations

import json
import os
import re
import stat
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from fedsim.core.errors import RunError
from fedsim.log.folders import RECORDS
from fedsim.log.lock import hold
from fedsim.log.schema import LogRecord, dump

if TYPE_CHECKING:
    from torch import Tensor

SAFE_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")


class RunLog:
    """The folder of one run, open for writing by one process at a time.

    Args:
        folder: created with its parents; must be empty or not exist.
        kept: lines of an unfinished run of this folder, with which its records go on; None for a
            new run.
        before: called before other lines are dropped, when no other process writes the folder.

    Raises:
        RunError: the folder is not empty, cannot be written, or another process writes it.
    """

    def __init__(
        self,
        folder: Path,
        kept: Sequence[bytes] | None = None,
        *,
        before: Callable[[], None] = lambda: None,
    ) -> None:
        self.folder = folder
        self._lock = threading.Lock()
        try:
            self._records = _new(folder) if kept is None else _continued(folder, kept, before)
        except OSError as error:
            raise RunError(
                f"{folder}: the run folder cannot be written: {error.strerror or error}; "
                "give --out a folder that you may write to"
            ) from None

    @property
    def size(self) -> int:
        """Size of the records on the disk, in bytes.

        Raises:
            RunError: the folder can no longer be written, as on a full disk.
        """
        with self._lock, self._told():
            os.fsync(self._records.fileno())
            return (self.folder / RECORDS).stat().st_size

    def append(self, record: LogRecord) -> None:
        """Append one record; safe to call from several threads.

        Raises:
            RunError: the folder can no longer be written, as on a full disk.
        """
        line = json.dumps(dump(record), ensure_ascii=False, allow_nan=False)
        with self._lock, self._told():
            self._records.write(line + "\n")
            self._records.flush()

    def write_text(self, name: str, text: str) -> None:
        """Write a text file at the top of the folder.

        Raises:
            RunError: the folder can no longer be written, as on a full disk.
        """
        path = self._path("", name)
        scratch = path.with_name(f".{path.name}.part")
        with self._told():
            scratch.write_text(text, encoding="utf-8")
            scratch.replace(path)

    def save_tensors(self, name: str, tensors: Mapping[str, Tensor]) -> str:
        """Save tensors under a name made by fedsim; return the file's path in the folder.

        Raises:
            RunError: the folder can no longer be written, as on a full disk.
        """
        # Readers do not need torch.
        from safetensors import SafetensorError  # noqa: PLC0415
        from safetensors.torch import save_file  # noqa: PLC0415

        path = self._path("tensors", f"{name}.safetensors")
        scratch = path.with_name(f".{path.name}.part")
        plain = {k: t.detach().cpu().contiguous() for k, t in tensors.items()}
        with self._told():
            try:
                save_file(plain, scratch)
            except SafetensorError as error:
                raise OSError(str(error)) from error
            # Those who may read the records may read the tensors: safetensors keeps them to itself.
            scratch.chmod(stat.S_IMODE((self.folder / RECORDS).stat().st_mode))
            scratch.replace(path)
        return path.relative_to(self.folder).as_posix()

    def checked(self, write: Callable[[], None]) -> None:
        """Call a function that writes to the folder.

        Raises:
            RunError: the folder can no longer be written, as on a full disk.
        """
        with self._told():
            write()

    def close(self) -> None:
        """Close the file of records; the folder can be read before and after.

        Raises:
            RunError: the folder can no longer be written, as on a full disk.
        """
        with self._told():
            self._records.close()

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Convert errors of the file system into ones that say what to do."""
        try:
            yield
        except OSError as error:
            raise RunError(
                f"{self.folder}: the run folder can no longer be written: "
                f"{error.strerror or error}; what was finished before stays readable; make space, "
                "or give --out another place, and run again"
            ) from error

    def _path(self, part: str, name: str) -> Path:
        """Return a path inside the folder for a plain file name."""
        if not SAFE_NAME.fullmatch(name):
            raise RunError(f"{name!r} is not a valid file name in a run folder")
        return self.folder / part / name


def _new(folder: Path) -> TextIO:
    """Create a run folder and return its records, open and locked."""
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise RunError(
            f"{folder}: the folder is not empty; give --out a new one, "
            "so that no earlier run is overwritten"
        )
    (folder / "tensors").mkdir()
    return _open(folder / RECORDS, folder)


def _continued(folder: Path, kept: Sequence[bytes], before: Callable[[], None]) -> TextIO:
    """Replace the records of an unfinished run by some of them, and return them open and locked."""
    with _open(folder / RECORDS, folder):
        before()
        for left in (*folder.glob(".*.part"), *folder.glob("tensors/.*.part")):
            left.unlink()
        (folder / "tensors").mkdir(exist_ok=True)
        scratch = folder / f".{RECORDS}.part"
        with scratch.open("wb") as file:
            file.writelines(line + b"\n" for line in kept)
            file.flush()
            os.fsync(file.fileno())
        # Locked before it has its name, so that nobody comes between.
        records = _open(scratch, folder)
        scratch.replace(folder / RECORDS)
    return records


def _open(path: Path, folder: Path) -> TextIO:
    # A lone surrogate (for example in a file name) is then written as a JSON escape.
    file = path.open("a", encoding="utf-8", errors="backslashreplace")
    try:
        hold(file, f"{folder}: another process is running")
    except RunError:
        file.close()
        raise
    return file
