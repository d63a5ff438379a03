"""Lanes enter in groups, leave when they end, and never matter to one another."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from fedsim.attacks.matching.optimisers import LBFGS, Optimiser, SignedAdam
from fedsim.attacks.types import Status
from tests.attacks.matching.optimisers.lanes import (
    Quadratics,
    evaluator,
    minimise,
    rosenbrock,
    starts,
)
from tests.rounding import assert_same

pytestmark = pytest.mark.numeric

every_optimiser = pytest.mark.parametrize(
    "optimiser", [LBFGS(20), SignedAdam(), SignedAdam(0.1, False)]
)


@pytest.mark.slow
@every_optimiser
@pytest.mark.parametrize("capacity", [1, 2, 3, 7, 100])
@pytest.mark.parametrize("siblings", [1, 2])
def test_capacity_does_not_matter(optimiser: Optimiser, capacity: int, siblings: int) -> None:
    """Up to rounding, and there are never more lanes at once than there is room for."""
    most = 0
    problems = Quadratics(lanes=8, size=5)

    def counted(points: Tensor, lanes: Tensor) -> tuple[Tensor, Tensor]:
        nonlocal most
        most = max(most, len(lanes))
        return problems(points, lanes)

    options = {"max_evaluations": 60, "tolerance": 1e-3, "siblings": siblings, "patience": 20}
    whole = minimise(problems, starts(8, 5), optimiser=optimiser, **options)
    parts = minimise(counted, starts(8, 5), optimiser=optimiser, capacity=capacity, **options)
    assert most <= max(capacity, siblings)
    assert_same(parts.points, whole.points)
    assert_same(parts.values, whole.values)
    assert torch.equal(whole.evaluations, parts.evaluations)
    assert whole.statuses == parts.statuses


def test_a_lane_that_ends_makes_room() -> None:
    """Lanes begin as others end: the evaluations are those of one lane at a time, shared."""
    problems, calls = Quadratics(lanes=6, size=4), []

    def counted(points: Tensor, lanes: Tensor) -> tuple[Tensor, Tensor]:
        calls.append(lanes.tolist())
        return problems(points, lanes)

    found = minimise(counted, starts(6, 4), max_evaluations=100, tolerance=1e-6, capacity=2)
    assert found.statuses == [Status.CONVERGED] * 6
    assert len(set(found.evaluations.tolist())) > 1
    assert all(len(running) == 2 for running in calls[: -int(found.evaluations.max())])
    assert sum(len(running) for running in calls) == int(found.evaluations.sum())


def test_each_lane_is_observed_with_its_own_count() -> None:
    seen: dict[int, list[int]] = {}

    def observe(evaluation: int, lanes: Tensor, points: Tensor, values: Tensor) -> None:
        assert len(lanes) == len(points) == len(values)
        for lane in lanes.tolist():
            seen.setdefault(lane, []).append(evaluation)

    problems = Quadratics(lanes=5, size=4)
    found = minimise(
        problems, starts(5, 4), max_evaluations=100, tolerance=1e-6, capacity=2, observe=observe
    )
    for lane, count in enumerate(found.evaluations.tolist()):
        assert seen[lane] == list(range(1, count + 1))


def test_siblings_of_a_lane_that_converged_are_abandoned() -> None:
    start = starts(4, 3)
    start[1] = 1.0  # the minimum
    found = minimise(evaluator(rosenbrock), start, max_evaluations=50, tolerance=0.0, siblings=2)
    assert found.statuses[:2] == [Status.ABANDONED, Status.CONVERGED]
    assert found.evaluations[:2].tolist() == [1, 1]
    assert found.evaluations[2:].min() > 1


def test_hopeless_siblings_are_abandoned_when_patience_ends() -> None:
    def floor_of_lane(points: Tensor, lanes: Tensor) -> tuple[Tensor, Tensor]:
        """Lane 0 falls to 1; lane 1 stays above 20, lane 2 above 5."""
        floors = torch.tensor([1.0, 20.0, 5.0], dtype=points.dtype)[lanes]
        return floors + (points**2).sum(1).sqrt(), torch.nn.functional.normalize(points)

    found = minimise(
        floor_of_lane, starts(3, 2) / 10, max_evaluations=40, siblings=3, patience=12,
        optimiser=SignedAdam(step_size=0.01),
    )  # fmt: skip
    assert found.statuses == [Status.EXHAUSTED, Status.ABANDONED, Status.EXHAUSTED]
    assert found.evaluations.tolist() == [40, 12, 40]


@pytest.mark.parametrize("fit", [1, 2, 3])
def test_too_many_lanes_for_the_memory(fit: int) -> None:
    """They begin again, fewer at a time, and end as they would have."""
    problems = Quadratics(lanes=7, size=4)

    def limited(points: Tensor, lanes: Tensor) -> tuple[Tensor, Tensor]:
        if len(lanes) > fit:
            raise torch.OutOfMemoryError("too many lanes")
        return problems(points, lanes)

    options = {"max_evaluations": 30, "tolerance": 1e-6}
    found = minimise(limited, starts(7, 4), **options)
    assert_same(found.points, minimise(problems, starts(7, 4), **options).points)


def test_one_group_that_does_not_fit_is_an_error() -> None:
    def none_fits(points: Tensor, lanes: Tensor) -> tuple[Tensor, Tensor]:
        raise torch.OutOfMemoryError("not even one")

    with pytest.raises(torch.OutOfMemoryError, match="not even one"):
        minimise(none_fits, starts(3, 4), max_evaluations=5)


@given(
    bad_lane=st.integers(0, 3),
    healthy_for=st.integers(0, 20),
    nothing=st.sampled_from([float("nan"), float("inf"), -float("inf")]),
    siblings=st.sampled_from([1, 2]),
    optimiser=st.sampled_from([LBFGS(10), SignedAdam()]),
)
@settings(max_examples=40, deadline=None)
def test_nan_stays_in_its_group(
    bad_lane: int, healthy_for: int, nothing: float, siblings: int, optimiser: Optimiser
) -> None:
    problems, calls = Quadratics(lanes=4, size=5), 0

    def poisoned(points: Tensor, lanes: Tensor) -> tuple[Tensor, Tensor]:
        nonlocal calls
        values, gradients = problems(points, lanes)
        if calls >= healthy_for:
            values[lanes == bad_lane], gradients[lanes == bad_lane] = nothing, nothing
        calls += 1
        return values, gradients

    options = {"max_evaluations": 30, "siblings": siblings, "optimiser": optimiser}
    healthy = minimise(problems, starts(4, 5), **options)
    found = minimise(poisoned, starts(4, 5), **options)
    assert torch.isfinite(found.points).all()
    for lane in set(range(4)) - {bad_lane}:
        assert_same(found.points[lane], healthy.points[lane])
        assert found.evaluations[lane] == healthy.evaluations[lane]
    assert (found.statuses[bad_lane] is Status.FAILED) == (healthy_for == 0)
