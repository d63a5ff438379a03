"""A whole ladder, and its map of batch size and local steps."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from fedsim.attacks.matching.attack import GradientMatching
from fedsim.attacks.types import Status
from fedsim.core.measures import Measure
from fedsim.core.modality import MODALITIES, PICTURES
from fedsim.engine.ladder.settings import Setting, final_setting, settings_of
from fedsim.engine.ladder.trial import Bench
from fedsim.log.ladder import Cell, Found, LadderRecord, Rung

MOST_EXAMPLES = 128
"""Largest number of examples of a client that trains whole epochs, in a ladder."""

SECOND_ORDER = 4.0
"""Cost of an evaluation of the objective, in gradients of the model."""

OVERHEAD_S = 0.7
"""Time of a rung beside its attack, in seconds: scores and records."""


OUT_OF_TIME = "the time ran out"
"""Reason why a rung was not run."""


@dataclass(frozen=True)
class Effort:
    """Effort of a ladder.

    Attributes:
        limit_s: time limit of the rungs, in seconds.
        map_limit_s: time limit of the map, in seconds; 0 for no map.
    """

    limit_s: float
    map_limit_s: float = 0.0


class Watch:
    """Base class of those who watch a ladder; it does nothing."""

    def estimated(self, rungs: int, cells: int, seconds: float, limit_s: float) -> None:
        """Take note of the estimated time before the start."""

    def tried(self, what: str, done: int, total: int) -> None:
        """Take note of a setting that is attacked next."""


class Told(Watch):
    """Writes the estimated time and the progress to standard error."""

    def estimated(self, rungs: int, cells: int, seconds: float, limit_s: float) -> None:
        """Write the estimated time."""
        more = f" and a map of {cells} cells" if cells else ""
        _tell(
            f"A ladder of {rungs} rungs{more}: about {seconds:.0f} s if every search needs all its "
            f"evaluations, and no more than about {limit_s:.0f} s."
        )

    def tried(self, what: str, done: int, total: int) -> None:
        """Write what is attacked next."""
        _tell(f"  {done + 1} of {total}: {what}")


def _began(found: Found) -> bool:
    """Return whether an attack got as far as one evaluation before its time ran out."""
    return found.status != Status.STOPPED or found.evaluations > 0


def _tell(line: str) -> None:
    sys.stderr.write(f"{line}\n")


class Ladder:
    """A ladder that is ready to be climbed.

    Args:
        bench: model and public examples.
        examples: number of examples of a client that trains whole epochs.
        effort: the effort.
        watch: told of the progress.
    """

    def __init__(self, bench: Bench, examples: int, effort: Effort, watch: Watch) -> None:
        self._bench, self._effort, self._watch = bench, effort, watch
        adversary = bench.plan.scenario(bench.plan.factory, 1, 1).adversary
        attack = None if adversary is None else adversary.attack
        self._evaluations = 1
        if isinstance(attack, GradientMatching):
            self._evaluations = attack.evaluations * attack.trials
        self._known: dict[int, float] = {}
        self._notes: list[str] = []
        self._examples = min(examples, MOST_EXAMPLES, len(bench))
        if bench.plan.local_epochs is not None and examples > self._examples:
            self._notes.append(
                f"An epoch of the ladder has {self._examples} examples; the client's has "
                f"{examples}, which is harder to attack."
            )
        example = bench.entered(bench.inputs[:2])
        self._steps = settings_of(bench.plan, example, self._examples)

    def climb(self, folder: Path) -> LadderRecord:
        """Attack each setting and then each cell of the map, the cheapest first.

        Args:
            folder: the ladder's folder; each rung has a run folder in it.

        Raises:
            KeyboardInterrupt: the user stopped the ladder.
        """
        plan, effort = self._bench.plan, self._effort
        cells = self._cells() if effort.map_limit_s > 0 else []
        seconds = sum(map(self._seconds, [s for _, s in self._steps] + cells))
        limit = effort.limit_s + effort.map_limit_s
        self._watch.estimated(len(self._steps), len(cells), seconds, limit)
        measure = _measure()
        return LadderRecord(
            title=plan.factory,
            attack=plan.attack["name"] if isinstance(plan.attack, dict) else str(plan.attack),
            measure=measure.name,
            unit=measure.unit,
            estimate_s=seconds,
            limit_s=limit,
            rungs=tuple(self._rungs(folder)),
            cells=tuple(self._map(cells)),
            notes=tuple(self._notes),
        )

    def _rungs(self, folder: Path) -> Iterator[Rung]:
        limits = _Limits(self._effort.limit_s, [self._seconds(s) for _, s in self._steps])
        for number, (changed, setting) in enumerate(self._steps):
            self._watch.tried(changed, number, len(self._steps))
            rung = Rung(changed=changed, setting=setting.words())
            reason, limit = self._unfit(setting), limits.next()
            if reason is None and limit is None:
                reason = OUT_OF_TIME
            if reason is not None or limit is None:
                yield rung.model_copy(update={"not_run": reason})
                continue
            place = f"rungs/{number + 1}"
            found = self._bench.try_out(setting, folder / place, limit)
            outcome = {"found": found} if _began(found) else {"not_run": OUT_OF_TIME}
            yield rung.model_copy(update={**outcome, "folder": place})

    def _unfit(self, setting: Setting) -> str | None:
        if setting.examples <= len(self._bench):
            return None
        return (
            f"it needs {setting.examples} public examples to attack, and there are "
            f"{len(self._bench)}"
        )

    def _cells(self) -> list[Setting]:
        """Return the settings of the map: powers of two up to the batch size and steps run."""
        plan, last = self._bench.plan, self._steps[-1][1]
        steps = final_setting(plan, last, self._examples).steps
        return [
            replace(last, batch_size=b, local_steps=s, local_epochs=None, examples=b * s)
            for b in _doubled(plan.batch_size)
            for s in _doubled(steps)
        ]

    def _map(self, cells: Sequence[Setting]) -> Iterator[Cell]:
        order = sorted(range(len(cells)), key=lambda i: (cells[i].examples, cells[i].steps))
        limits = _Limits(self._effort.map_limit_s, [self._seconds(cells[i]) for i in order])
        found: dict[int, Cell] = {}
        for number, i in enumerate(order):
            setting = cells[i]
            said = f"batches of {setting.batch_size}, {setting.steps} local steps"
            self._watch.tried(said, number, len(cells))
            cell = Cell(batch_size=setting.batch_size, local_steps=setting.steps)
            limit = limits.next()
            if limit is not None and self._unfit(setting) is None:
                with tempfile.TemporaryDirectory(prefix="fedsim-ladder-") as scratch:
                    tried = self._bench.try_out(setting, Path(scratch) / "run", limit)
                if _began(tried):
                    cell = cell.model_copy(update={"found": tried})
            found[i] = cell
        yield from (found[i] for i in range(len(cells)))

    def _seconds(self, setting: Setting) -> float:
        """Return the estimated time of a setting: victim and control, in seconds."""
        if self._unfit(setting) is not None:
            return 0.0
        size = setting.batch_size
        one = self._gradient_seconds(size)
        return OVERHEAD_S + self._evaluations * SECOND_ORDER * one * (setting.steps + 1)

    def _gradient_seconds(self, size: int) -> float:
        if size not in self._known:
            model = self._bench.model(self._steps[-1][1]).eval()
            entered = self._bench.entered(self._bench.inputs[:size])
            trained = [p for p in model.parameters() if p.requires_grad]
            for _ in range(2):  # the first one warms up
                began = time.perf_counter()
                torch.autograd.grad(model(entered).sum(), trained)
                self._known[size] = time.perf_counter() - began
        return self._known[size]


class _Limits:
    """Time limits of consecutive settings.

    Half of the time is shared out evenly, so that searches of the easy settings, which are cheap,
    do not end early; the other half in proportion to the estimated time. What is left over goes to
    the settings that follow.

    Args:
        limit_s: time limit of all.
        estimates: estimated time of each.
    """

    def __init__(self, limit_s: float, estimates: Sequence[float]) -> None:
        self._end = time.monotonic() + limit_s
        self._left = list(estimates)

    def next(self) -> float | None:
        """Return the limit of the next setting in seconds, or None if the time ran out."""
        left, total, number = self._end - time.monotonic(), sum(self._left), len(self._left)
        own = self._left.pop(0)
        if left <= 0:
            return None
        share = own / total if total else 1.0
        return left * (share + 1 / number) / 2


def _doubled(most: int) -> list[int]:
    """Return the powers of two below a number, and the number."""
    powers = [2**k for k in range(most.bit_length()) if 2**k < most]
    return [*powers, most]


def _measure() -> Measure:
    found: Measure = MODALITIES.get(PICTURES).measure
    return found
