"""L-BFGS for many independent problems at once.

Each row of the point matrix, a *lane*, is a problem of its own with its own step length,
curvature pairs and end. Lanes share nothing but the evaluation, which is one batch: a lane
that diverges, stalls or turns to NaN leaves the others as they would be without it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from attacks.types import ShouldStop, Status, never_stop

Evaluate = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""``(points (A, n), lanes (A,)) -> (values (A,), gradients (A, n))`` for the active lanes."""

Observe = Callable[[int, Tensor, Tensor, Tensor], None]
"""``(evaluation, lanes (A,), points (A, n), values (A,))``, called after each evaluation."""

ARMIJO = 1e-4
MAX_BACKTRACKS = 12


@dataclass(frozen=True, eq=False)
class Minimum:
    """Where each lane ended: its best point, value, status and number of evaluations."""

    points: Tensor
    values: Tensor
    statuses: list[Status]
    evaluations: Tensor


@dataclass(eq=False)
class _Lanes:
    """The state of the lanes that are still running, one row each."""

    index: Tensor  # (A,) the lane's number
    point: Tensor  # (A, n)
    value: Tensor  # (A,)
    gradient: Tensor  # (A, n)
    direction: Tensor  # (A, n)
    slope: Tensor  # (A,) gradient · direction
    step: Tensor  # (A,)
    backtracks: Tensor  # (A,) rejected steps along this direction
    fresh: Tensor  # (A,) whether the direction is steepest descent after a reset
    gamma: Tensor  # (A,) scale of the initial inverse Hessian; 0 before the first pair

    def keep(self, rows: Tensor) -> None:
        for f in fields(self):
            setattr(self, f.name, getattr(self, f.name)[rows])


class _Pairs:
    """Curvature pairs in a ring whose slots all lanes share.

    Every evaluation opens one slot; a lane whose step was rejected leaves its part of the
    slot empty (``rho = 0``), which makes it a no-op in the two-loop recursion. So no lane
    needs an order of its own, and nothing is gathered or moved.
    """

    def __init__(self, slots: int, start: Tensor) -> None:
        self.s = start.new_zeros((slots, *start.shape))
        self.y = torch.zeros_like(self.s)
        self.rho = start.new_zeros((slots, len(start)))
        self.used = 0

    def push(self, s: Tensor, y: Tensor, rho: Tensor) -> None:
        slot = self.used % len(self.rho)
        self.s[slot], self.y[slot], self.rho[slot] = s, y, rho
        self.used += 1

    def forget(self, rows: Tensor) -> None:
        self.rho[:, rows] = 0

    def keep(self, rows: Tensor) -> None:
        self.s, self.y, self.rho = self.s[:, rows], self.y[:, rows], self.rho[:, rows]

    def direction(self, gradient: Tensor, gamma: Tensor) -> Tensor:
        """Return minus the inverse Hessian times the gradient (two-loop recursion)."""
        q = gradient.clone()
        slots = len(self.rho)
        newest_first = [(self.used - 1 - i) % slots for i in range(min(slots, self.used))]
        alphas = []
        for i in newest_first:
            alpha = self.rho[i] * torch.linalg.vecdot(self.s[i], q)
            q.addcmul_(alpha[:, None], self.y[i], value=-1)
            alphas.append(alpha)
        q *= gamma[:, None]
        for i, alpha in zip(reversed(newest_first), reversed(alphas), strict=True):
            beta = self.rho[i] * torch.linalg.vecdot(self.y[i], q)
            q.addcmul_((alpha - beta)[:, None], self.s[i])
        return -q


def minimise(
    evaluate: Evaluate,
    start: Tensor,
    *,
    max_evaluations: int,
    history: int = 100,
    first_step: float = 0.1,
    tolerance: Tensor | None = None,
    observe: Observe | None = None,
    should_stop: ShouldStop = never_stop,
) -> Minimum:
    """Minimise one function per lane, all lanes together.

    Limited-memory BFGS (Nocedal and Wright, Numerical Optimization, 2006, algorithm 7.5) with
    a backtracking line search per lane: a step is taken only if it satisfies Armijo's
    condition, else shortened by quadratic interpolation. One evaluation serves every lane,
    whichever phase it is in. A lane whose search fails restarts once from steepest descent
    and ends as stalled if that fails too.

    Args:
        evaluate: values and gradients of the lanes asked for; called once per iteration.
        start: the lanes' first points, ``(lanes, n)``.
        max_evaluations: how many evaluations each lane may have, the first included.
        history: how many past evaluations the curvature estimate remembers.
        first_step: root-mean-square size of the first step of a lane.
        tolerance: values at or below which a lane has converged, ``(lanes,)``.
        observe: called after each evaluation with the lanes that are running.
        should_stop: asked before each evaluation; when true, all lanes end where they are.
    """
    search = _Search(evaluate, start, history, first_step, tolerance)
    for evaluation in range(1, max_evaluations + 1):
        if len(search.lanes.index) == 0:
            break
        if should_stop():
            search.finish_all(Status.STOPPED)
            break
        search.advance(evaluation, observe)
    search.finish_all(Status.EXHAUSTED)
    return Minimum(search.points, search.values, search.statuses, search.evaluations)


class _Search:
    """One call of `minimise`."""

    def __init__(
        self,
        evaluate: Evaluate,
        start: Tensor,
        history: int,
        first_step: float,
        tolerance: Tensor | None,
    ) -> None:
        lanes, size = start.shape
        self._evaluate = evaluate
        self._first_norm = first_step * size**0.5
        self._tolerance = start.new_full((lanes,), -1.0) if tolerance is None else tolerance
        self._pairs = _Pairs(history, start)
        self.points = start.clone()
        self.values = start.new_full((lanes,), float("nan"))
        self.statuses = [Status.EXHAUSTED] * lanes
        self.evaluations = torch.zeros(lanes, dtype=torch.long, device=start.device)
        # Before the first evaluation a lane stands still at an infinitely high point, so that
        # whatever finite value it finds at its start is accepted.
        infinite, zero = start.new_full((lanes,), float("inf")), start.new_zeros(lanes)
        self.lanes = _Lanes(
            index=torch.arange(lanes, device=start.device),
            point=start.clone(),
            value=infinite,
            gradient=torch.zeros_like(start),
            direction=torch.zeros_like(start),
            slope=zero.clone(),
            step=zero.clone(),
            backtracks=zero.clone(),
            fresh=torch.zeros(lanes, dtype=torch.bool, device=start.device),
            gamma=zero.clone(),
        )

    def advance(self, evaluation: int, observe: Observe | None) -> None:
        """Evaluate each running lane's trial point and prepare its next one."""
        now = self.lanes
        trial = now.point + now.step[:, None] * now.direction
        value, gradient = self._evaluate(trial, now.index)
        finite = torch.isfinite(value) & torch.isfinite(gradient).all(dim=1)
        accepted = finite & (value <= now.value + ARMIJO * now.step * now.slope)
        shorter = self._shortened(value)
        if evaluation > 1:
            self._remember(trial, gradient, accepted)
        take = accepted[:, None]
        now.point = torch.where(take, trial, now.point)
        now.value = torch.where(accepted, value, now.value)
        now.gradient = torch.where(take, gradient, now.gradient)
        now.backtracks = torch.where(accepted, 0.0, now.backtracks + 1)
        if observe is not None:
            observe(evaluation, now.index, now.point, now.value)
        self.evaluations[now.index] = evaluation
        running = self._retire(accepted)
        if len(self.lanes.index):
            self._aim(accepted[running], shorter[running])

    def finish_all(self, status: Status) -> None:
        """End every running lane where it is."""
        everyone = torch.ones_like(self.lanes.fresh)
        self._store(everyone, status)
        self.lanes.keep(~everyone)

    def _shortened(self, value: Tensor) -> Tensor:
        """Return the step length at the minimum of the parabola through what is known."""
        now = self.lanes
        rise = value - now.value - now.step * now.slope
        parabola = -now.slope * now.step**2 / (2 * rise)
        parabola = torch.where(torch.isfinite(parabola), parabola, 0.1 * now.step)
        return torch.clamp(parabola, min=0.1 * now.step, max=0.5 * now.step)

    def _remember(self, trial: Tensor, gradient: Tensor, accepted: Tensor) -> None:
        now = self.lanes
        s, y = trial - now.point, gradient - now.gradient
        sy, yy = torch.linalg.vecdot(s, y), torch.linalg.vecdot(y, y)
        ss = torch.linalg.vecdot(s, s)
        # Armijo alone does not promise positive curvature: such a pair is left out.
        useful = accepted & (sy > 1e-10 * (ss * yy).sqrt())
        zero = s.new_zeros(())
        self._pairs.push(
            torch.where(useful[:, None], s, zero),
            torch.where(useful[:, None], y, zero),
            torch.where(useful, 1 / sy, zero),
        )
        now.gamma = torch.where(useful, sy / yy, now.gamma)

    def _retire(self, accepted: Tensor) -> Tensor:
        """Drop the lanes that have converged, stalled or failed; return which go on."""
        now = self.lanes
        failed = ~torch.isfinite(now.value)
        converged = now.value <= self._tolerance[now.index]
        stuck = ~accepted & now.fresh & (now.backtracks >= MAX_BACKTRACKS)
        stuck |= (now.gradient == 0).all(dim=1)
        for rows, status in (
            (failed, Status.FAILED),
            (converged & ~failed, Status.CONVERGED),
            (stuck & ~converged & ~failed, Status.STALLED),
        ):
            self._store(rows, status)
        running = ~(failed | converged | stuck)
        if not bool(running.all()):
            self.lanes.keep(running)
            self._pairs.keep(running)
        return running

    def _store(self, rows: Tensor, status: Status) -> None:
        now = self.lanes
        lanes = now.index[rows]
        self.points[lanes] = now.point[rows]
        self.values[lanes] = now.value[rows]
        for lane in lanes.tolist():
            self.statuses[lane] = status

    def _aim(self, accepted: Tensor, shorter: Tensor) -> None:
        """Set the next trial of each lane: a new direction, a shorter step or a restart."""
        now = self.lanes
        steepest = self._first_norm / (now.gradient.norm(dim=1) + 1e-30)
        gamma = torch.where(now.gamma > 0, now.gamma, steepest)
        direction = self._pairs.direction(now.gradient, gamma)
        slope = torch.linalg.vecdot(now.gradient, direction)
        restart = (~accepted & (now.backtracks >= MAX_BACKTRACKS)) | (accepted & ~(slope < 0))
        renew = (accepted | restart)[:, None]
        direction = torch.where(restart[:, None], -now.gradient, direction)
        now.direction = torch.where(renew, direction, now.direction)
        now.slope = torch.linalg.vecdot(now.gradient, now.direction)
        now.step = torch.where(restart, steepest, torch.where(accepted, 1.0, shorter))
        now.backtracks = torch.where(restart, 0.0, now.backtracks)
        now.fresh = restart | (now.fresh & ~accepted)
        now.gamma = torch.where(restart, 0.0, now.gamma)
        self._pairs.forget(restart)
