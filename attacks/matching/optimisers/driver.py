"""Minimisation of any number of lanes, as many at once as fit into memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from fedsim.attacks.matching.optimisers.base import Lanes, Optimiser, Project, anywhere
from fedsim.attacks.types import ShouldStop, Status, never_stop

Evaluate = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""``(points (A, n), lanes (A,)) -> (values (A,), gradients (A, n))``; the same ``lanes`` object
as long as the same lanes are running."""

Observe = Callable[[int, Tensor, Tensor, Tensor], None]
"""``(evaluation, lanes (A,), points (A, n), values (A,))``, called after each evaluation, once for
all lanes that have had equally many."""

HOPELESS = 10.0
"""A trial is hopeless if its value is this many times that of its best sibling."""


@dataclass(frozen=True, eq=False)
class Ended:
    """The end of a lane: its best point ``(n,)``, the value there, the reason, the evaluations."""

    lane: int
    point: Tensor
    value: float
    status: Status
    evaluations: int


@dataclass(frozen=True, eq=False)
class Minimisation:
    """Minimise one function per lane, all lanes together.

    Lanes come in groups of siblings: the trials of one victim. A group enters together as soon
    as it has room, so that its result does not depend on the number that run at once;
    a lane leaves as soon as it has ended, and makes room. When one of a group has converged the
    others are abandoned, and after ``patience`` evaluations those that are far behind.

    Attributes:
        evaluate: returns values and gradients of the given lanes; called once per iteration.
        start: returns the first point ``(n,)`` of a lane; called when the lane enters.
        count: number of lanes, a multiple of ``siblings``.
        optimiser: how lanes move.
        max_evaluations: how many evaluations each lane may have.
        on_end: called with each lane when it ends.
        capacity: lanes that may run at once; one group always may.
        siblings: size of a group.
        patience: evaluations before hopeless siblings are abandoned; None to keep them.
        tolerance: value at or below which a lane has converged.
        project: projection to the nearest allowed points.
        observe: called after each evaluation.
        should_stop: called before each evaluation; if true, the running lanes end and no others
            begin.
    """

    evaluate: Evaluate
    start: Callable[[int], Tensor]
    count: int
    optimiser: Optimiser
    max_evaluations: int
    on_end: Callable[[Ended], None]
    capacity: int = 1_000_000
    siblings: int = 1
    patience: int | None = None
    tolerance: float = -1.0
    project: Project = anywhere
    observe: Observe | None = None
    should_stop: ShouldStop = never_stop

    def run(self) -> None:
        """Run every lane to its end; called again, all of them once more."""
        _Run(self).run()


class _Run:
    """The lanes of a minimisation that are running, and those that wait."""

    def __init__(self, task: Minimisation) -> None:
        self._task = task
        self._room = max(1, task.capacity // task.siblings) * task.siblings
        self._state: Lanes | None = None
        self._running = torch.zeros(0, dtype=torch.long)
        self._spent = torch.zeros(0, dtype=torch.long)
        self._pending = list(range(0, task.count, task.siblings))

    def run(self) -> None:
        while True:
            if self._task.should_stop():
                self._leave(torch.ones_like(self._running, dtype=torch.bool), Status.STOPPED)
                return
            self._enter()
            if self._state is None or len(self._running) == 0:
                return
            try:
                self._advance(self._state)
            except torch.OutOfMemoryError:
                if not self._retreat():
                    raise

    def _enter(self) -> None:
        """Admit waiting groups while there is room."""
        room = self._room - len(self._running)
        groups = self._pending[: room // self._task.siblings]
        if not groups:
            return
        del self._pending[: len(groups)]
        new = [group + i for group in groups for i in range(self._task.siblings)]
        starts = torch.stack([self._task.start(lane) for lane in new])
        if self._state is None:
            self._state = self._task.optimiser.lanes(
                starts, starts.shape[1], self._task.max_evaluations, self._task.project
            )
        self._state.admit(starts)
        self._running = torch.cat([self._running, torch.tensor(new)])
        self._spent = torch.cat([self._spent, torch.zeros(len(new), dtype=torch.long)])

    def _advance(self, state: Lanes) -> None:
        value, gradient = self._task.evaluate(state.trial(), self._running)
        state.update(value, gradient)
        self._spent += 1
        if self._task.observe is not None:
            self._report(self._task.observe, state)
        self._retire(state)

    def _report(self, observe: Observe, state: Lanes) -> None:
        counts = sorted(set(self._spent.tolist()))
        if len(counts) == 1:
            observe(counts[0], self._running, state.point, state.value)
            return
        for count in counts:
            alike = (self._spent == count).nonzero().flatten()
            rows = alike.to(state.point.device)
            observe(count, self._running[alike], state.point[rows], state.value[rows])

    def _retire(self, state: Lanes) -> None:
        value = state.value.cpu()
        converged = value <= self._task.tolerance
        ends = [
            (~torch.isfinite(value), Status.FAILED),
            (converged, Status.CONVERGED),
            (self._abandoned(value, converged), Status.ABANDONED),
            (state.stuck().cpu(), Status.STALLED),
            (self._spent >= self._task.max_evaluations, Status.EXHAUSTED),
        ]
        if not bool(torch.stack([rows for rows, _ in ends]).any()):
            return
        staying = torch.ones_like(converged)
        for rows, status in ends:
            self._end(rows & staying, status)
            staying = staying & ~rows
        self._drop(~staying)

    def _abandoned(self, value: Tensor, converged: Tensor) -> Tensor:
        """Return the lanes whose siblings have made them pointless."""
        if self._task.siblings == 1:
            return torch.zeros_like(converged)
        group = self._running // self._task.siblings
        groups = self._task.count // self._task.siblings
        won = torch.zeros(groups, dtype=torch.bool)
        won[group[converged]] = True
        behind = won[group]
        if self._task.patience is not None:
            best = torch.full((groups,), torch.inf, dtype=value.dtype)
            best.scatter_reduce_(0, group, value, "amin")
            behind |= (self._spent >= self._task.patience) & (value > HOPELESS * best[group])
        return behind

    def _leave(self, rows: Tensor, status: Status) -> None:
        self._end(rows, status)
        self._drop(rows)

    def _end(self, rows: Tensor, status: Status) -> None:
        for row in rows.nonzero().flatten().tolist():
            assert self._state is not None  # noqa: S101  (there are rows)
            self._task.on_end(
                Ended(
                    lane=int(self._running[row]),
                    point=self._state.point[row].clone(),
                    value=float(self._state.value[row]),
                    status=status,
                    evaluations=int(self._spent[row]),
                )
            )

    def _drop(self, rows: Tensor) -> None:
        if self._state is None or not bool(rows.any()):
            return
        self._state.keep((~rows).to(self._state.point.device))
        self._running, self._spent = self._running[~rows], self._spent[~rows]

    def _retreat(self) -> bool:
        """Begin the running groups again, half as many at a time; False if there is but one."""
        groups = sorted({lane // self._task.siblings for lane in self._running.tolist()})
        if len(groups) == 1:
            return False
        self._room = max(1, len(groups) // 2) * self._task.siblings
        self._pending[:0] = [group * self._task.siblings for group in groups]
        self._drop(torch.ones_like(self._running, dtype=torch.bool))
        return True
