"""Equal rows, between which bins are read, are found among others."""

import pytest
import torch

from fedsim.attacks.closed.bins import sorting_rows
from fedsim.core.errors import AttackError


def test_dead_rows_are_no_bins() -> None:
    drawn = torch.Generator().manual_seed(0)
    weight = torch.randn(100, 30, generator=drawn)
    weight[10:30] = weight[10]
    weight[50:90] = 0
    bias = torch.randn(100, generator=drawn)
    assert sorting_rows(weight, bias).tolist() == list(range(10, 30))


@pytest.mark.parametrize("weight", [torch.zeros(4, 3), torch.eye(3)], ids=["dead", "different"])
def test_no_sorting_rows(weight: torch.Tensor) -> None:
    with pytest.raises(AttackError, match="no equal rows"):
        sorting_rows(weight, torch.arange(len(weight)))


def test_rows_with_one_threshold_sort_nothing() -> None:
    weight = torch.ones(4, 3)
    with pytest.raises(AttackError, match="different thresholds"):
        sorting_rows(weight, torch.full((4,), 0.5))
    assert len(sorting_rows(weight, torch.tensor([0.5, 0.5, 0.5, 0.6]))) == 4
