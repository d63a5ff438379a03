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
LEAST_HISTORY = 10
MOST_STORED = 2**26
"""Most numbers in the curvature pairs of one lane, 256 MB of float32: all 100 pairs of up to a
hundred colour pictures of 32 x 32. More pictures have fewer pairs, down to `LEAST_HISTORY`."""
LEAST_GAIN = 1e-5
"""Share of its value by which a lane must improve, or it is on a plateau."""


@dataclass(frozen=True)
class LBFGS(Optimiser):
    """Limited-memory BFGS with a backtracking line search per lane.

    Nocedal and Wright, Numerical Optimization, 2006, algorithm 7.5. A step is taken only if it
    satisfies Armijo's condition, else shortened by quadratic interpolation. One evaluation
    serves every lane, in any phase. A lane whose search fails restarts once from
    steepest descent and is stuck if that fails too, as is one that stays on a plateau.

    Args:
        history: number of past evaluations in the curvature estimate, fewer where they would take
            too much memory (`MOST_STORED`).
        plateau: evaluations without a gain of `LEAST_GAIN` after which a lane is stuck; None to
            let it go on.
    """

    history: int = 100
    plateau: int | None = None

    def lanes(self, like: Tensor, size: int, budget: int, project: Project) -> Lanes:
        """Return a state without lanes."""
        fitting = max(LEAST_HISTORY, MOST_STORED // (2 * max(1, size)))
        history = min(self.history, fitting, budget)
        return _LBFGSLanes(like.new_zeros((0, size)), history, self.plateau)

    @property
    def copies(self) -> int:
        """Return the most memory that a lane takes, in points."""
        # Twice the pairs, since dropping a lane copies those of the others.
        return 4 * self.history + 8


class _LBFGSLanes(Lanes):
    _ROWS = (
        "point", "value", "gradient", "direction", "slope", "step", "backtracks", "fresh", "gamma",
        "mark", "since",
    )  # fmt: skip

    def __init__(self, nothing: Tensor, history: int, plateau: int | None) -> None:
        none = nothing[:, 0] if nothing.shape[1] else nothing.new_zeros(0)
        self._first_norm = FIRST_STEP * nothing.shape[1] ** 0.5
        self._pairs = _Pairs(history, nothing)
        self._plateau = plateau
        self.point, self.value = nothing, none
        self.gradient = nothing
        self.direction = nothing
        self.slope = none  # gradient · direction
        self.step = none
        self.backtracks = none  # rejected steps along this direction
        self.fresh = none.bool()  # whether the direction is steepest descent after a reset
        self.gamma = none  # scale of the initial inverse Hessian; 0 before the first pair
        self._trial = nothing
        self.mark = none  # value at the last gain worth the name
        self.since = none  # evaluations since then

    def admit(self, starts: Tensor) -> None:
        # Before its first evaluation the value of a lane is infinite, so that any finite value at
        # its start is accepted.
        infinite = starts.new_full((len(starts),), torch.inf)
        zero, still = torch.zeros_like(infinite), torch.zeros_like(starts)
        new = (
            starts, infinite, still, still, zero, zero, zero, zero.bool(), zero, infinite, zero
        )  # fmt: skip
        for name, rows in zip(self._ROWS, new, strict=True):
            setattr(self, name, torch.cat([getattr(self, name), rows]))
        self._pairs.admit(len(starts))

    def keep(self, rows: Tensor) -> None:
        for name in self._ROWS:
            setattr(self, name, getattr(self, name)[rows])
        self._pairs.keep(rows)

    def trial(self) -> Tensor:
        self._trial = self.point + self.step[:, None] * self.direction
        return self._trial

    def update(self, value: Tensor, gradient: Tensor) -> None:
        trial = self._trial
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
        if self._plateau is not None:
            self._stuck |= self._on_plateau(self._plateau)
        self._aim(accepted, shorter)

    def stuck(self) -> Tensor:
        return self._stuck

    def _on_plateau(self, plateau: int) -> Tensor:
        """Count the evaluations without a gain; return the lanes that have had too many."""
        gained = self.value < self.mark - LEAST_GAIN * self.mark.abs()
        gained |= torch.isinf(self.mark)
        self.mark = torch.where(gained, self.value, self.mark)
        self.since = torch.where(gained, 0.0, self.since + 1)
        return self.since >= plateau

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
            torch.where(useful[:, None], s, zero), torch.where(useful[:, None], y, zero)
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
    has zeros there, which contribute nothing. So no lane needs its own order.

    The direction is that of the two-loop recursion (Nocedal and Wright, algorithm 7.4), whose loops
    are substitutions: the first solves ``R a = Sᵀ g`` and the second ``Rᵀ c = D a - gamma Yᵀ q``,
    with ``R`` the upper triangle of ``Sᵀ Y`` from the oldest pair to the newest and ``D`` its
    diagonal (the compact form of Byrd, Nocedal and Schnabel, Mathematical Programming 63, 1994,
    in the same terms). That takes a few products of matrices instead of two for each pair.
    """

    def __init__(self, slots: int, nothing: Tensor) -> None:
        lanes, size = nothing.shape
        self._slots, self._oldest = slots, 0
        self.s = nothing.new_zeros((lanes, slots, size))
        self.y = nothing.new_zeros((lanes, slots, size))
        # R is a window of the triangle, which moves down the diagonal with each pair and begins
        # again at the top where there is no more room. In double precision, because the
        # substitutions subtract nearly equal numbers.
        self._room = slots + max(1, slots // 4)
        self._end = slots
        self.triangle = nothing.new_zeros((lanes, self._room, self._room), dtype=torch.float64)
        self.diagonal = nothing.new_zeros((lanes, self._room), dtype=torch.float64)

    def admit(self, lanes: int) -> None:
        # One after the other, so that only one of them is copied at a time.
        for name in ("s", "y", "triangle", "diagonal"):
            kept: Tensor = getattr(self, name)
            setattr(self, name, torch.cat([kept, kept.new_zeros((lanes, *kept.shape[1:]))]))
        self._empty(slice(len(self.s) - lanes, None))

    def push(self, s: Tensor, y: Tensor) -> None:
        """Replace the oldest pair.

        Args:
            s: difference of points ``(lanes, size)``; zeros for no pair.
            y: difference of gradients, likewise.
        """
        if self._end == self._room:
            self._begin_again()
        self.s[:, self._oldest], self.y[:, self._oldest] = s, y
        self._oldest = (self._oldest + 1) % self._slots
        products = along(self.s, y).roll(-self._oldest, 1)
        new, self._end = self._end, self._end + 1
        self.triangle[:, self._end - self._slots : self._end, new] = products
        curvature = products[:, -1]
        self.diagonal[:, new] = curvature
        self.triangle[:, new, new] = torch.where(curvature == 0, 1.0, curvature)

    def forget(self, rows: Tensor) -> None:
        if not bool(rows.any()):  # writing by a mask passes over all pairs
            return
        self.s[rows], self.y[rows] = 0, 0
        self._empty(rows)

    def keep(self, rows: Tensor) -> None:
        for name in ("s", "y", "triangle", "diagonal"):
            setattr(self, name, getattr(self, name)[rows])

    def direction(self, gradient: Tensor, gamma: Tensor) -> Tensor:
        """Return minus the inverse Hessian times the gradient.

        Args:
            gradient: ``(lanes, size)``.
            gamma: scale of the initial inverse Hessian, ``(lanes,)``.
        """
        window, oldest = slice(self._end - self._slots, self._end), self._oldest
        r, scale = self.triangle[:, window, window], gamma[:, None]

        def solved(system: Tensor, right: Tensor, *, upper: bool) -> Tensor:
            found: Tensor = torch.linalg.solve_triangular(system, right[:, :, None], upper=upper)
            return found[:, :, 0]

        a = solved(r, along(self.s, gradient).roll(-oldest, 1), upper=True)
        q = gradient - combined(self.y, a.roll(oldest, 1))
        seen = along(self.y, q).roll(-oldest, 1)
        bent = self.diagonal[:, window] * a - scale.double() * seen
        c = solved(r.mT, bent, upper=False)
        return -(scale * q + combined(self.s, c.roll(oldest, 1)))

    def _begin_again(self) -> None:
        """Move the window to the top of the triangle."""
        window, top = slice(self._end - self._slots, self._end), slice(self._slots)
        r, curvature = self.triangle[:, window, window].clone(), self.diagonal[:, window].clone()
        self._empty(slice(None))
        self.triangle[:, top, top], self.diagonal[:, top] = r, curvature
        self._end = self._slots

    def _empty(self, rows: Tensor | slice) -> None:
        """Leave a one for each pair of some lanes, so that it has a share of zero."""
        self.triangle[rows] = torch.eye(self._room, dtype=torch.float64).to(self.triangle)
        self.diagonal[rows] = 0


def along(rows: Tensor, vector: Tensor) -> Tensor:
    """Return the products of ``rows`` (lanes, slots, size) with ``vector`` (lanes, size)."""
    product: Tensor = torch.bmm(vector[:, None], rows.mT)
    return product[:, 0].double()


def combined(rows: Tensor, weights: Tensor) -> Tensor:
    """Return the sum of ``rows`` (lanes, slots, size) by ``weights`` (lanes, slots)."""
    return torch.bmm(weights[:, None].to(rows.dtype), rows)[:, 0]
