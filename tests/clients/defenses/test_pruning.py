"""Pruning zeroes exactly as many as asked, and the smallest."""

from decimal import Decimal

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fedsim.clients.defenses import Pruning


def pruned(values: list[float], fraction: float) -> list[float]:
    upload = {"g": torch.tensor(values)}
    kept: list[float] = (
        Pruning(fraction=fraction).protect_upload(upload, torch.Generator()).tensors["g"].tolist()
    )
    return kept


@given(
    values=st.lists(
        st.floats(-100, 100, width=32).filter(lambda v: v != 0), min_size=1, max_size=40
    ),
    percent=st.integers(0, 100),
)
def test_exactly_the_smallest_are_zeroed(values: list[float], percent: int) -> None:
    after = pruned(values, percent / 100)
    zeroed = [abs(v) for v, w in zip(values, after, strict=True) if w == 0]
    kept = [abs(v) for v, w in zip(values, after, strict=True) if w != 0]
    assert len(zeroed) == percent * len(values) // 100
    assert all(w in (0, v) for v, w in zip(values, after, strict=True))
    assert max(zeroed, default=0) <= min(kept, default=float("inf"))


@given(fraction=st.floats(0, 1), count=st.integers(1, 200))
def test_number_of_zeros_for_any_fraction(fraction: float, count: int) -> None:
    after = pruned([float(i + 1) for i in range(count)], fraction)
    assert after.count(0.0) == int(Decimal(repr(fraction)) * count)


def test_binary_rounding_does_not_lose_a_coordinate() -> None:
    assert int(0.29 * 100) == 28
    assert pruned([1.0] * 100, 0.29).count(0.0) == 29


def test_ties_go_by_position() -> None:
    assert pruned([1.0, -1.0, 1.0, -1.0], 0.5) == [0.0, 0.0, 1.0, -1.0]


@pytest.mark.parametrize("fraction", [0.25, 0.5, 0.75, 1.0])
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_a_training_that_diverged_is_pruned_too(bad: float, fraction: float) -> None:
    after = pruned([bad, 1.0, bad, 2.0], fraction)
    assert after.count(0.0) == 4 * fraction
    assert after[1] == 0.0  # the smallest goes first


def test_each_tensor_for_itself() -> None:
    upload = {"big": torch.tensor([[10.0, 20.0], [30.0, 40.0]]), "small": torch.tensor([0.1, 0.2])}
    done = Pruning(fraction=0.5).protect_upload(upload, torch.Generator())
    assert done.tensors["big"].tolist() == [[0.0, 0.0], [30.0, 40.0]]
    assert done.tensors["small"].tolist() == pytest.approx([0.0, 0.2])
    assert done.did["kept_fraction"] == 0.5


def test_kept_fraction_is_measured_not_echoed() -> None:
    upload = {"g": torch.tensor([0.0, 0.0, 0.0, 4.0])}
    done = Pruning(fraction=0.25).protect_upload(upload, torch.Generator())
    assert done.did["kept_fraction"] == 0.25
