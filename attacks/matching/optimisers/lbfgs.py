"""L-BFGS with a safeguarded line search for each lane."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from fedsim.attacks.matching.optimisers.base import Lanes, Optimiser, Project

ARMIJO = 1e-4
MAX_BACKTRACKS = 12
FIRST_STEP = 0.1
"""Root-mean-square size of the first step of a lane."""


@dataclass(frozen=True)
class LBFGS(Optimiser):
    """Limited-memory BFGS with a backtracking line search per lane.

    Nocedal and Wright, Numerical Optimization, 2006, algorithm 7.5. A step is taken only if it
    satisfies Armijo's condition, else shortened by quadratic interpolation. One evaluation
    serves every lane, in any phase. A lane whose search fails restarts once from
    steepest descent and is stuck if that fails too.

    Args:
        history: number of past evaluations in the curvature estimate.
    """

    history: int = 100

    def lanes(self, like: Tensor, size: int, budget: int, project: Project) -> Lanes:
        """Return a state without lanes."""
        return _LBFGSLanes(like.new_zeros((0, size)), min(self.history, budget))

    @property
    def copies(self) -> int:
        """Return the most memory that a lane takes, in points."""
        # Twice the pairs, since dropping a lane copies those of the others.
        return 4 * self.history + 8


class _LBFGSLanes(Lanes):
    _ROWS = (
        "point", "value", "gradient", "direction", "slope", "step", "backtracks", "fresh", "gamma",
    )  # fmt: skip

    def __init__(self, nothing: Tensor, history: int) -> None:
        none = nothing[:, 0] if nothing.shape[1] else nothing.new_zeros(0)
        self._first_norm = FIRST_STEP * nothing.shape[1] ** 0.5
        self._pairs = _Pairs(history, nothing)
        self.point, self.value = nothing, none
        self.gradient = nothing
        self.direction = nothing
        self.slope = none  # gradient · direction
        self.step = none
        self.backtracks = none  # rejected steps along this direction
        self.fresh = none.bool()  # whether the direction is steepest descent after a reset
        self.gamma = none  # scale of the initial inverse Hessian; 0 before the first pair

    def admit(self, starts: Tensor) -> None:
        # Before its first evaluation the value of a lane is infinite, so that any finite value at
        # its start is accepted.
        infinite = starts.new_full((len(starts),), torch.inf)
        zero, still = torch.zeros_like(infinite), torch.zeros_like(starts)
        new = (starts, infinite, still, still, zero, zero, zero, zero.bool(), zero)
        for name, rows in zip(self._ROWS, new, strict=True):
            setattr(self, name, torch.cat([getattr(self, name), rows]))
        self._pairs.admit(len(starts))

    def keep(self, rows: Tensor) -> None:
        for name in self._ROWS:
            setattr(self, name, getattr(self, name)[rows])
        self._pairs.keep(rows)

    def trial(self) -> Tensor:
        return self.point + self.step[:, None] * self.direction

    def update(self, value: Tensor, gradient: Tensor) -> None:
        trial = self.trial()
        finite = torch.isfinite(value) & torch.isfinite(gradient).all(dim=1)
        accepted = finite & (value <= self.value + ARMIJO * self.step * self.slope)
        shorter = self._shortened(value)
        self._remember(trial, gradient, accepted)
        take = accepted[:, None]
        self.point = torch.where(take, trial, self.point)
        self.value = torch.where(accepted, value, self.value)
        self.gradient = torch.where(take, gradient, self.gradient)
        self.backtracks = torch.where(accepted, 0.0, self.backtracks + 1)
        self._stuck = ~accepted & self.fresh & (self.backtracks >= MAX_BACKTRACKS)
        self._stuck |= (self.gradient == 0).all(dim=1)
        self._aim(accepted, shorter)

    def stuck(self) -> Tensor:
        return self._stuck

    def _shortened(self, value: Tensor) -> Tensor:
        """Return the step length at the minimum of the interpolating parabola."""
        rise = value - self.value - self.step * self.slope
        parabola = -self.slope * self.step**2 / (2 * rise)
        parabola = torch.where(torch.isfinite(parabola), parabola, 0.1 * self.step)
        return torch.clamp(parabola, min=0.1 * self.step, max=0.5 * self.step)

    def _remember(self, trial: Tensor, gradient: Tensor, accepted: Tensor) -> None:
        s, y = trial - self.point, gradient - self.gradient
        sy, yy = torch.linalg.vecdot(s, y), torch.linalg.vecdot(y, y)
        ss = torch.linalg.vecdot(s, s)
        # Armijo's condition does not guarantee positive curvature: such a pair is omitted.
        useful = accepted & (sy > 1e-10 * (ss * yy).sqrt())
        zero = s.new_zeros(())
        self._pairs.push(
            torch.where(useful[:, None], s, zero),
            torch.where(useful[:, None], y, zero),
            torch.where(useful, 1 / sy, zero),
        )
        self.gamma = torch.where(useful, sy / yy, self.gamma)

    def _aim(self, accepted: Tensor, shorter: Tensor) -> None:
        """Set the next trial of each lane: a new direction, a shorter step or a restart."""
        steepest = self._first_norm / (self.gradient.norm(dim=1) + 1e-30)
        gamma = torch.where(self.gamma > 0, self.gamma, steepest)
        direction = self._pairs.direction(self.gradient, gamma)
        slope = torch.linalg.vecdot(self.gradient, direction)
        restart = (~accepted & (self.backtracks >= MAX_BACKTRACKS)) | (accepted & ~(slope < 0))
        renew = (accepted | restart)[:, None]
        direction = torch.where(restart[:, None], -self.gradient, direction)
        self.direction = torch.where(renew, direction, self.direction)
        self.slope = torch.linalg.vecdot(self.gradient, self.direction)
        self.step = torch.where(restart, steepest, torch.where(accepted, 1.0, shorter))
        self.backtracks = torch.where(restart, 0.0, self.backtracks)
        self.fresh = restart | (self.fresh & ~accepted)
        self.gamma = torch.where(restart, 0.0, self.gamma)
        self._pairs.forget(restart)


class _Pairs:
    """Curvature pairs in a ring buffer with slots shared by all lanes.

    Every evaluation uses one slot; a lane whose step was rejected, or that had not entered yet,
    leaves its part of the slot empty (``rho = 0``), which makes it a no-op in the two-loop
    recursion. So no lane needs its own order, and no data are gathered or moved.
    """

    def __init__(self, slots: int, nothing: Tensor) -> None:
        self.s = nothing.new_zeros((slots, *nothing.shape))
        self.y = nothing.new_zeros((slots, *nothing.shape))
        self.rho = nothing.new_zeros((slots, 0))
        self.used = 0

    def admit(self, lanes: int) -> None:
        slots, _, size = self.s.shape
        # One after the other, so that only one of them is copied at a time.
        self.s = torch.cat([self.s, self.s.new_zeros((slots, lanes, size))], dim=1)
        self.y = torch.cat([self.y, self.y.new_zeros((slots, lanes, size))], dim=1)
        self.rho = torch.cat([self.rho, self.rho.new_zeros((slots, lanes))], dim=1)

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
