"""A run as its report reads it: records, scenario and what they come to; without torch."""

from __future__ import annotations

import tomllib
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

from fedsim.core.errors import RunError
from fedsim.core.version import __version__
from fedsim.log.files import SCENARIO, Record, inside, read_records
from fedsim.log.summary import Summary, summarise

Arrays = dict[str, NDArray[Any]]


@contextmanager
def legible(folder: Path) -> Iterator[None]:
    """Turn what a log of an unknown shape leads to into an error that names it.

    Raises:
        RunError: the log is not as this version of fedsim writes it.
    """
    try:
        yield
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise RunError(
            f"{folder}: this log is not as fedsim {__version__} writes it: "
            f"{type(error).__name__}: {error}; read it with the version that wrote it"
        ) from error


@dataclass(frozen=True)
class Run:
    """The log of one run, in whatever state it is.

    Attributes:
        folder: of the run.
        records: all of them.
        scenario_text: the resolved scenario as TOML; empty if the run died before it was written.
    """

    folder: Path
    records: list[Record]
    scenario_text: str

    @classmethod
    def read(cls, folder: Path) -> Run:
        """Read a run folder.

        Raises:
            RunError: it is no run folder, or its records cannot be read.
        """
        records = list(read_records(folder))
        if not records:
            raise RunError(f"{folder}: this run has not recorded anything yet")
        place = folder / SCENARIO
        try:
            text = place.read_text("utf-8") if place.is_file() else ""
        except (OSError, UnicodeDecodeError) as error:
            raise RunError(f"{place}: cannot be read as text: {error}") from None
        return cls(folder, records, text)

    @cached_property
    def scenario(self) -> Mapping[str, Any]:
        """The scenario as plain tables, not validated: names of it may be of no import here.

        Raises:
            RunError: the file is no TOML.
        """
        try:
            return tomllib.loads(self.scenario_text)
        except (ValueError, RecursionError) as error:
            raise RunError(f"{self.folder / SCENARIO}: this is not TOML: {error}") from None

    @cached_property
    def summary(self) -> Summary:
        """What the records come to."""
        return summarise(self.records)

    @property
    def start(self) -> Record:
        """The first record."""
        return self.records[0]

    @property
    def title(self) -> str:
        """What the scenario is called."""
        return str(self.start.get("title") or self.folder.name)

    def of_kind(self, kind: str) -> list[Record]:
        """Return the records of one kind, in order."""
        return [r for r in self.records if r["kind"] == kind]

    def arrays(self, place: str) -> Arrays | None:
        """Return the arrays of a file that a record names; None if it is not there any more.

        Raises:
            RunError: the place is outside the folder, or holds something else.
        """
        try:
            path = inside(self.folder, place)
        except RunError:
            if (self.folder / place).resolve().is_relative_to(self.folder.resolve()):
                return None  # tidied away to save space
            raise
        try:
            found: dict[str, NDArray[np.generic]] = load_file(path)
        except SafetensorError as error:
            raise RunError(f"{path}: this is no file of tensors: {error}") from None
        return found
