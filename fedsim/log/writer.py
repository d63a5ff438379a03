"""The run folder, written during the run and readable at any time.

::

    records.jsonl      one JSON object per line; the first holds the format's version
    scenario.toml      the resolved scenario
    flower.log         messages of Flower and Ray
    tensors/*.safetensors

Readers add to it, from these files alone::

    pictures/*.png, *.gif
    report.html        all of it for a reader

Records are flushed line by line, and all other files are written atomically, so a run that dies
leaves everything that it had finished. Nothing in the folder is ever unpickled.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from fedsim.core.errors import RunError
from fedsim.log.folders import RECORDS
from fedsim.log.schema import LogRecord, dump

if TYPE_CHECKING:
    from torch import Tensor

SAFE_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")


class RunLog:
    """The folder of one run, open for writing.

    Args:
        folder: created with its parents; must be empty or not exist.

    Raises:
        RunError: the folder is not empty, or cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.Lock()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if any(folder.iterdir()):
                raise RunError(
                    f"{folder}: the folder is not empty; give --out a new one, "
                    "so that no earlier run is overwritten"
                )
            (folder / "tensors").mkdir()
            # A lone surrogate (for example in a file name) is then written as a JSON escape.
            self._records = (folder / RECORDS).open(
                "a", encoding="utf-8", errors="backslashreplace"
            )
        except OSError as error:
            raise RunError(
                f"{folder}: the run folder cannot be written: {error.strerror or error}; "
                "give --out a folder that you may write to"
            ) from None

    def append(self, record: LogRecord) -> None:
        """Append one record; safe to call from several threads."""
        line = json.dumps(dump(record), ensure_ascii=False, allow_nan=False)
        with self._lock:
            self._records.write(line + "\n")
            self._records.flush()

    def write_text(self, name: str, text: str) -> None:
        """Write a text file at the top of the folder."""
        path = self._path("", name)
        scratch = path.with_name(f".{path.name}.part")
        scratch.write_text(text, encoding="utf-8")
        scratch.replace(path)

    def save_tensors(self, name: str, tensors: Mapping[str, Tensor]) -> str:
        """Save tensors under a name made by fedsim; return the file's path in the folder."""
        from safetensors.torch import save_file  # noqa: PLC0415  (readers do not need torch)

        path = self._path("tensors", f"{name}.safetensors")
        scratch = path.with_name(f".{path.name}.part")
        save_file({k: t.detach().cpu().contiguous() for k, t in tensors.items()}, scratch)
        scratch.replace(path)
        return path.relative_to(self.folder).as_posix()

    def close(self) -> None:
        """Close the file of records; the folder can be read before and after."""
        self._records.close()

    def _path(self, part: str, name: str) -> Path:
        """Return a path inside the folder for a plain file name."""
        if not SAFE_NAME.fullmatch(name):
            raise RunError(f"{name!r} is not a valid file name in a run folder")
        return self.folder / part / name
