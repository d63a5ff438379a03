"""Batched L-BFGS: it finds minima, ends as it says, and no lane disturbs another."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize, rosen, rosen_der
from torch import Tensor

from fedsim.attacks.matching.optimisers import LBFGS
from fedsim.attacks.matching.optimisers.lbfgs import _Pairs
from fedsim.attacks.types import Status
from tests.attacks.matching.optimisers.lanes import (
    Minimum,
    Quadratics,
    evaluator,
    minimise,
    rosenbrock,
    starts,
)
from tests.rounding import assert_same

pytestmark = pytest.mark.numeric

NOWHERE = [math.nan, math.inf, -math.inf]


def test_quadratics_end_in_their_closed_form_minimum() -> None:
    problems = Quadratics(lanes=6, size=12)
    found = minimise(problems, starts(6, 12), max_evaluations=200)
    torch.testing.assert_close(found.points, problems.minima, rtol=0, atol=1e-6)
    assert (found.values < 1e-10).all()


@pytest.mark.parametrize("size", [2, 10])
def test_rosenbrock_against_scipy(size: int) -> None:
    """Same minimum as SciPy's L-BFGS-B from the same starts, in at most twice the evaluations.

    From some starts in ten dimensions both may end in the other, local minimum.
    """
    start = starts(5, size, seed=3)
    found = minimise(
        evaluator(rosenbrock), start, max_evaluations=2000, history=10, tolerance=1e-14
    )
    for lane in range(5):
        theirs = minimize(
            rosen, start[lane].numpy(), jac=rosen_der, method="L-BFGS-B",
            options={"ftol": 0, "gtol": 1e-9, "maxiter": 2000},
        )  # fmt: skip
        assert float(found.values[lane]) == pytest.approx(theirs.fun, abs=1e-8)
        torch.testing.assert_close(
            found.points[lane], torch.from_numpy(theirs.x), rtol=0, atol=1e-4
        )
        assert found.statuses[lane] in (Status.CONVERGED, Status.STALLED)
        assert found.evaluations[lane] <= 2 * theirs.nfev


@pytest.mark.slow
@given(
    bad_lane=st.integers(0, 3),
    healthy_for=st.integers(0, 40),
    value=st.sampled_from([*NOWHERE, 1.0]),
    slope=st.sampled_from(NOWHERE),
)
@settings(max_examples=60, deadline=None)
def test_a_bad_lane_leaves_the_others_alone(
    bad_lane: int, healthy_for: int, value: float, slope: float
) -> None:
    """Values and gradients of one lane go bad after some evaluations."""
    problems = Quadratics(lanes=4, size=6)
    calls = 0

    def with_bad_lane(points: Tensor, lanes: Tensor) -> tuple[Tensor, Tensor]:
        nonlocal calls
        values, gradients = problems(points, lanes)
        if calls >= healthy_for:
            values[lanes == bad_lane], gradients[lanes == bad_lane] = value, slope
        calls += 1
        return values, gradients

    # Without a tolerance lanes go on until rounding stops them, and that is nobody's to foresee.
    options = {"max_evaluations": 60, "tolerance": 1e-6}
    healthy = minimise(problems, starts(4, 6), **options)
    found = minimise(with_bad_lane, starts(4, 6), **options)
    for lane in set(range(4)) - {bad_lane}:
        assert_same(found.points[lane], healthy.points[lane])
        assert_same(found.values[lane], healthy.values[lane], scale=1.0)
        assert found.evaluations[lane] == healthy.evaluations[lane]
        assert found.statuses[lane] is healthy.statuses[lane]
    check_bad_lane(found, bad_lane, healthy_for)


def check_bad_lane(found: Minimum, lane: int, healthy_for: int) -> None:
    if healthy_for == 0:
        assert found.statuses[lane] is Status.FAILED
        assert found.evaluations[lane] == 1
    else:
        assert found.statuses[lane] is not Status.FAILED
        assert torch.isfinite(found.values[lane])
        assert torch.isfinite(found.points[lane]).all()


def test_one_lane_of_each_status() -> None:
    """Lanes: at its minimum, below the tolerance on the way, endless, into a wall, NaN."""

    def evaluate(points: Tensor, lanes: Tensor) -> tuple[Tensor, Tensor]:
        x = points[:, 0]
        values = torch.stack([x**2 + 1, x**2, x + 1e9, x + 1, x * math.nan])[
            lanes, range(len(lanes))
        ]
        slopes = torch.stack([2 * x, 2 * x, x**0, x**0, x])[lanes, range(len(lanes))]
        wall = (lanes == 3) & (x < 1)
        return torch.where(wall, math.inf, values), slopes[:, None]

    start = torch.tensor([[0.0], [3.0], [1.0], [1.0], [1.0]], dtype=torch.float64)
    found = minimise(evaluate, start, max_evaluations=100, tolerance=1e-12)
    assert found.statuses == [
        Status.STALLED,
        Status.CONVERGED,
        Status.EXHAUSTED,
        Status.STALLED,
        Status.FAILED,
    ]
    assert found.values[1] <= 1e-12
    assert found.values[2] < 1e9
    assert found.evaluations[[0, 2, 4]].tolist() == [1, 100, 1]
    assert found.points[3] == 1


@pytest.mark.parametrize(("plateau", "spent"), [(20, 21), (None, 100)])
def test_a_lane_on_a_plateau_ends(plateau: int | None, spent: int) -> None:
    """Lanes: one gains 1e-9 of its value for ever, the other a share that counts."""

    def evaluate(points: Tensor, lanes: Tensor) -> tuple[Tensor, Tensor]:
        x = points[:, 0]
        values = torch.stack([x + 1e9, torch.exp(x)])[lanes, range(len(lanes))]
        slopes = torch.stack([x**0, torch.exp(x)])[lanes, range(len(lanes))]
        return values, slopes[:, None]

    start = torch.tensor([[1.0], [1.0]], dtype=torch.float64)
    found = minimise(evaluate, start, max_evaluations=100, optimiser=LBFGS(10, plateau))
    assert found.evaluations[0] == spent
    assert found.statuses[0] is (Status.EXHAUSTED if plateau is None else Status.STALLED)
    assert found.values[0] < 1e9 + 1
    assert found.evaluations[1] > spent or plateau is None


def test_a_start_below_the_tolerance_costs_one_evaluation() -> None:
    found = minimise(evaluator(rosenbrock), torch.ones(2, 3), max_evaluations=50, tolerance=0.0)
    assert found.statuses == [Status.CONVERGED] * 2
    assert found.evaluations.tolist() == [1, 1]


@pytest.mark.parametrize("after", [0, 1, 7])
def test_stopped_with_what_it_has(after: int) -> None:
    seen: list[Tensor] = []
    start = starts(2, 4)
    found = minimise(
        evaluator(rosenbrock),
        start,
        max_evaluations=50,
        observe=lambda evaluation, lanes, points, values: seen.append(points.clone()),
        should_stop=lambda: len(seen) >= after,
    )
    begun = 2 if after else 0
    assert found.statuses == [Status.STOPPED] * begun
    assert found.evaluations.tolist() == [after] * begun
    assert torch.equal(found.points, seen[-1] if seen else start[:0])


@given(
    budget=st.integers(1, 60),
    lanes=st.integers(1, 5),
    size=st.integers(1, 6),
    history=st.integers(1, 12),
    seed=st.integers(0, 99),
)
@settings(max_examples=40, deadline=None)
def test_budget_and_descent(budget: int, lanes: int, size: int, history: int, seed: int) -> None:
    """No evaluation beyond the budget, and no end higher than its start."""
    counts = torch.zeros(lanes, dtype=torch.long)

    def bumpy(points: Tensor) -> Tensor:
        return (points**2 + torch.sin(5 * points)).sum(dim=1)

    def counted(points: Tensor, active: Tensor) -> tuple[Tensor, Tensor]:
        counts[active] += 1
        return evaluator(bumpy)(points, active)

    start = 3 * starts(lanes, size, seed)
    found = minimise(counted, start, max_evaluations=budget, history=history)
    assert torch.equal(counts, found.evaluations)
    assert (counts <= budget).all()
    torch.testing.assert_close(found.values, bumpy(found.points))
    assert (found.values <= bumpy(start)).all()
    assert Status.FAILED not in found.statuses


@given(
    lanes=st.integers(2, 6), size=st.integers(1, 8), seed=st.integers(0, 99), cut=st.integers(1, 5)
)
@settings(max_examples=25, deadline=None)
def test_lanes_do_not_know_of_each_other(lanes: int, size: int, seed: int, cut: int) -> None:
    """The same in two batches as in one.

    Twelve evaluations: on this function they enlarge a rounding up to ten thousand times, and
    forty a billion times.
    """
    start, cut = starts(lanes, size + 1, seed), min(cut, lanes - 1)
    halves = [
        minimise(evaluator(rosenbrock), part, max_evaluations=12)
        for part in (start[:cut], start[cut:])
    ]
    whole = minimise(evaluator(rosenbrock), start, max_evaluations=12)
    assert_same(whole.points, torch.cat([half.points for half in halves]))
    assert_same(whole.values, torch.cat([half.values for half in halves]), scale=1.0)
    assert whole.statuses == [status for half in halves for status in half.statuses]


def two_loops(pairs: list[tuple[Tensor, Tensor]], gradient: Tensor, gamma: Tensor) -> Tensor:
    """Return the direction by Nocedal and Wright, algorithm 7.4, from the oldest pair on."""
    q, shares = gradient.clone(), []
    for s, y in reversed(pairs):
        shares.append((s @ q) / (y @ s))
        q -= shares[-1] * y
    z = gamma * q
    for (s, y), share in zip(pairs, reversed(shares), strict=True):
        z = z + s * (share - (y @ z) / (y @ s))
    return -z


@pytest.mark.parametrize("slots", [1, 2, 5, 11])
def test_directions_are_those_of_the_two_loops(slots: int) -> None:
    """While pairs are omitted and forgotten, and lanes leave and enter."""
    generator = torch.Generator().manual_seed(slots)

    def drawn(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    size, hessians = 6, [m @ m.T + torch.eye(6, dtype=torch.float64) for m in drawn(3, 6, 6)]
    held: list[list[tuple[Tensor, Tensor] | None]] = [[], [], []]
    pairs = _Pairs(slots, drawn(0, size))
    pairs.admit(3)
    for step in range(5 * slots + 30):
        s = drawn(3, size)
        y = torch.stack([h @ v for h, v in zip(hessians, s, strict=True)])
        omitted = torch.rand(3, generator=generator) < 0.3
        s[omitted], y[omitted] = 0, 0
        for lane, own in enumerate(held):
            own.append(None if omitted[lane] else (s[lane], y[lane]))
        pairs.push(s, y)
        if step == 3 * slots:
            pairs.forget(torch.tensor([True, False, False]))
            held[0] = []
        if step == 4 * slots + 3:
            pairs.keep(torch.tensor([True, False, True]))
            pairs.admit(1)
            held, hessians = [held[0], held[2], []], [hessians[0], hessians[2], hessians[1]]
        gradient, gamma = drawn(3, size), drawn(3).abs() + 0.5
        found = pairs.direction(gradient, gamma)
        for lane, own in enumerate(held):
            known = [pair for pair in own[-slots:] if pair is not None]
            assert_same(found[lane], two_loops(known, gradient[lane], gamma[lane]))
