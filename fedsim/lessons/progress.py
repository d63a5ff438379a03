"""Progress through the lessons, kept beside the runs in ``runs/lessons.json``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field, TypeAdapter, ValidationError

from fedsim.log.folders import RUNS
from fedsim.scenario import Section

PROGRESS = RUNS / "lessons.json"


class Result(Section):
    """Result of a lesson, finished or left.

    Attributes:
        right: number of questions that were answered right.
        second: number of those that took a second try.
        answered: number of questions that were answered.
        of: number of questions of the lesson.
    """

    right: Annotated[int, Field(ge=0)]
    second: Annotated[int, Field(ge=0)] = 0
    answered: Annotated[int, Field(ge=0)]
    of: Annotated[int, Field(gt=0)]

    @property
    def finished(self) -> bool:
        """Whether each question was answered."""
        return self.answered == self.of

    def __str__(self) -> str:
        if not self.finished:
            return f"left after {self.answered} of {self.of} questions"
        second = f", {self.second} at the second try" if self.second else ""
        return f"{self.right} of {self.of} right{second}"


_RESULTS = TypeAdapter(dict[int, Result])


def results(path: Path = PROGRESS) -> dict[int, Result]:
    """Return the best result of each lesson that was begun; none from an unreadable file."""
    try:
        return _RESULTS.validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return {}


def keep(number: int, result: Result, path: Path = PROGRESS) -> None:
    """Keep the result of a lesson, unless an earlier one was better.

    Raises:
        OSError: the file cannot be written.
    """
    known = results(path)
    if number in known and _rank(known[number]) > _rank(result):
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(_RESULTS.dump_json({**known, number: result}, indent=1) + b"\n")


def _rank(result: Result) -> tuple[int, int, int]:
    return result.answered, result.right, -result.second
