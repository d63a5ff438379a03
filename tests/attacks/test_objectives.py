"""Objectives in closed form."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from attacks import Objective, SquaredDistance, SurvivingDistance

DUMMY = {"w": torch.tensor([[1.0, 2.0], [3.0, 4.0]]), "b": torch.tensor([5.0])}
SHARED = {"w": torch.tensor([[0.0, 2.5], [0.0, 1.0]]), "b": torch.tensor([5.5])}


def test_squared_distance() -> None:
    assert SquaredDistance()(DUMMY, SHARED) == 1 + 0.25 + 9 + 9 + 0.25


def test_surviving_distance_ignores_the_zeros_of_the_upload() -> None:
    assert SurvivingDistance()(DUMMY, SHARED) == 0.25 + 9 + 0.25


@given(dummy=st.lists(st.floats(-9, 9, width=32), min_size=1, max_size=9))
def test_without_zeros_both_are_the_same(dummy: list[float]) -> None:
    ours, shared = {"w": torch.tensor(dummy)}, {"w": torch.linspace(1, 2, len(dummy))}
    assert SurvivingDistance()(ours, shared) == SquaredDistance()(ours, shared)


@pytest.mark.parametrize("objective", [SquaredDistance(), SurvivingDistance()], ids=str)
def test_a_perfect_match_is_zero(objective: Objective) -> None:
    assert objective(DUMMY, DUMMY) == 0


@pytest.mark.parametrize("objective", [SquaredDistance(), SurvivingDistance()], ids=str)
def test_derivatives(objective: Objective) -> None:
    """At a match, and where a coordinate was pruned, the derivative is zero and not NaN."""
    dummy = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
    objective({"w": dummy}, {"w": torch.tensor([0.0, 2.0, 1.0])}).backward()
    pruned = 0.0 if isinstance(objective, SurvivingDistance) else 2.0
    assert dummy.grad is not None
    assert dummy.grad.tolist() == [pruned, 0, 4]
