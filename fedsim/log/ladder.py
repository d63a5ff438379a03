"""Record of a ladder: one model attacked from the easiest setting to the one that is run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError

from fedsim.core.errors import RunError
from fedsim.core.text import harmless
from fedsim.log.reader import read_inside
from fedsim.log.score import Meaning
from fedsim.log.values import Figure, Lax, Typed

LADDER = "ladder.json"
LEAKS = (Meaning.LEAKED, Meaning.PARTLY)


class Found(Typed):
    """Outcome of an attack on public examples in one setting.

    Nothing is defended in a ladder, so no outcome is ever *protected*.

    Attributes:
        examples: number of attacked examples.
        meanings: number of examples by their meaning.
        best, median: headline measure of the best example and of the median one; None if unscored.
        blind: measure of the best blind guess, median over the examples.
        objective: relative objective of what was found.
        truth: that of the examples themselves, their misfit.
        explained: whether the attacker's equations explain the upload by the examples.
        control: whether the positive control was reconstructed; None without one.
        status: reason for the end of the attack.
        doubts: reasons why examples that did not leak are no evidence, the weightiest first.
        evaluations: evaluations that were spent.
        seconds: duration.
        error: reason for a missing reconstruction, or None.
    """

    examples: int
    meanings: Annotated[dict[Annotated[Meaning, Lax], int], Lax]
    best: Figure = None
    median: Figure = None
    blind: Figure = None
    objective: Figure = None
    truth: Figure = None
    explained: bool | None = None
    control: bool | None = None
    status: str = ""
    doubts: Annotated[tuple[str, ...], Lax] = ()
    evaluations: int = 0
    seconds: float = 0.0
    error: str | None = None

    @property
    def leaked(self) -> int:
        """Number of examples that leaked, in part or fully."""
        return sum(self.meanings.get(meaning, 0) for meaning in LEAKS)

    @property
    def worst(self) -> Meaning:
        """The meaning of the example that leaked most."""
        order = (*LEAKS, Meaning.ATTACK_FAILED, Meaning.UNSCORED, Meaning.NOTHING)
        return next((m for m in order if self.meanings.get(m)), Meaning.UNSCORED)


class Rung(Typed):
    """One setting of a ladder.

    Attributes:
        changed: what differs from the rung before.
        setting: the whole setting, in words by key.
        found: the outcome; None if it was not run.
        not_run: reason why it was not run, or None.
        folder: its run folder inside the ladder's, or None.
    """

    changed: str
    setting: dict[str, str]
    found: Found | None = None
    not_run: str | None = None
    folder: str | None = None


class Cell(Typed):
    """One cell of the map of batch size and local steps.

    Attributes:
        batch_size: examples in a local step.
        local_steps: number of local steps.
        found: the outcome; None if it was not run.
    """

    batch_size: int
    local_steps: int
    found: Found | None = None


class LadderRecord(Typed):
    """A ladder and its map.

    Attributes:
        title: name of the model.
        attack: the attack, in words.
        unit: unit of the headline measure, with a space in front where one belongs.
        measure: name of the headline measure.
        estimate_s: time that was estimated before the start, in seconds.
        limit_s: time limit, in seconds.
        rungs: the settings, the easiest first.
        cells: the map.
        notes: remarks.
    """

    title: str
    attack: str
    measure: str
    unit: str
    estimate_s: float
    limit_s: float
    rungs: Annotated[tuple[Rung, ...], Lax]
    cells: Annotated[tuple[Cell, ...], Lax] = ()
    notes: Annotated[tuple[str, ...], Lax] = Field(default=())

    @property
    def closes(self) -> int | None:
        """Index of the first rung at which nothing leaked, or None."""
        found = (i for i, r in enumerate(self.rungs) if r.found is not None and not r.found.leaked)
        return next(found, None)

    @property
    def narrows(self) -> int | None:
        """Index of the first rung at which no example leaked fully, or None."""
        found = (
            i
            for i, r in enumerate(self.rungs)
            if r.found is not None and not r.found.meanings.get(Meaning.LEAKED)
        )
        return next(found, None)


def read_ladder(folder: Path) -> LadderRecord:
    """Read the ladder of a folder.

    Raises:
        RunError: it has none, or of another form.
    """
    place = folder / LADDER
    try:
        found = harmless(json.loads(read_inside(folder, LADDER)))
        return LadderRecord.model_validate_json(json.dumps(found))
    except OSError as error:
        raise RunError(f"{place}: cannot be read: {error.strerror}") from None
    except ValidationError as error:
        first = error.errors()[0]
        raise RunError(f"{place}: not a ladder: {first['loc']}: {first['msg']}") from None
    except (ValueError, RecursionError) as error:
        raise RunError(f"{place}: not a ladder: {error}") from None
