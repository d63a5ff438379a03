"""Equal rows, between which bins are read, are found among others."""

import pytest
import torch

from fedsim.attacks.closed.bins import equal_rows
from fedsim.core.errors import AttackError


def test_dead_rows_are_no_bins() -> None:
    drawn = torch.Generator().manual_seed(0)
    weight = torch.randn(100, 30, generator=drawn)
    weight[10:30] = weight[10]
    weight[50:90] = 0
    assert equal_rows(weight).tolist() == list(range(10, 30))


@pytest.mark.parametrize("weight", [torch.zeros(4, 3), torch.eye(3)], ids=["dead", "different"])
def test_no_equal_rows(weight: torch.Tensor) -> None:
    with pytest.raises(AttackError, match="not equal"):
        equal_rows(weight)
