"""A run read from its folder without torch: records, scenario and summary."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file

from fedsim.core.errors import FedsimError, FedsimWarning, RunError
from fedsim.core.text import harmless
from fedsim.core.toml import parse_toml
from fedsim.core.version import __version__
from fedsim.log.folders import SCENARIO
from fedsim.log.reader import Kind, inside, of_kind, read_inside, read_records
from fedsim.log.schema import LogRecord, RunStarted
from fedsim.log.summary import Summary, summarise

Arrays = dict[str, NDArray[Any]]


@contextmanager
def legible(folder: Path) -> Iterator[None]:
    """Convert errors from a scenario or tensors of an unknown form into ones that name the folder.

    Raises:
        RunError: the folder does not have the form of this version of fedsim.
    """
    try:
        yield
    except (FedsimError, OSError):
        raise
    except Exception as error:  # what a stranger's log can cause has no other bounds
        raise RunError(
            f"{folder}: this log does not have the form of fedsim {__version__}: "
            f"{type(error).__name__}: {error}; read it with the version that wrote it"
        ) from error


@dataclass(frozen=True)
class Run:
    """The log of one run, in any state.

    Attributes:
        folder: the run folder.
        records: all records.
        scenario_text: the resolved scenario as TOML; empty if the run died before it was written.
    """

    folder: Path
    records: list[LogRecord]
    scenario_text: str

    @classmethod
    def read(cls, folder: Path) -> Run:
        """Read a run folder.

        Raises:
            RunError: it is not a run folder, or its records cannot be read.
        """
        records = list(read_records(folder))
        if not records:
            raise RunError(f"{folder}: this run has not recorded anything yet")
        place = folder / SCENARIO
        try:
            text = read_inside(folder, SCENARIO).decode("utf-8") if place.exists() else ""
        except (OSError, UnicodeDecodeError) as error:
            raise RunError(f"{place}: cannot be read as text: {error}") from None
        return cls(folder, records, text)

    @cached_property
    def scenario(self) -> Mapping[str, Any]:
        """The scenario as plain tables, not validated: its plugins may not be installed here.

        Raises:
            RunError: the file is not TOML.
        """
        try:
            found: Mapping[str, Any] = harmless(parse_toml(self.scenario_text))
            return found
        except (ValueError, RecursionError) as error:
            raise RunError(f"{self.folder / SCENARIO}: not valid TOML: {error}") from None

    @cached_property
    def summary(self) -> Summary:
        """Summary of the records.

        Raises:
            RunError: the records do not have the form of this version of fedsim.
        """
        with legible(self.folder):
            return summarise(self.records)

    @property
    def start(self) -> RunStarted:
        """The first record."""
        [start] = self.of_kind(RunStarted)
        return start

    @property
    def title(self) -> str:
        """The scenario's title, or else the folder's name."""
        return self.start.title or self.folder.name

    def of_kind(self, kind: type[Kind]) -> list[Kind]:
        """Return the records of one kind, in order."""
        return of_kind(self.records, kind)

    def arrays(self, place: str) -> Arrays | None:
        """Return the arrays of a file named by a record.

        Returns:
            None if the file was removed, or, with a warning, if it is damaged.

        Raises:
            RunError: the path is outside the folder.
        """
        try:
            path = inside(self.folder, place)
        except RunError:
            if (self.folder / place).resolve().is_relative_to(self.folder.resolve()):
                return None  # removed to save space
            raise
        try:
            found: dict[str, NDArray[np.generic]] = load_file(path)
        except (SafetensorError, LookupError, TypeError, ValueError, OSError) as error:
            said = f"{path}: not a file of tensors, and left out: {error}"
            warnings.warn(said, FedsimWarning, stacklevel=2)
            return None
        return found
