"""Bins hidden among rows that are none."""

import pytest
import torch

from fedsim.core.errors import RunError
from fedsim.server.malicious.decoys import rows_of_bins


def drawn(rows: int, *, tuned: bool) -> torch.Tensor:
    return rows_of_bins(rows, torch.Generator().manual_seed(0), tuned=tuned)


@pytest.mark.parametrize("rows", [5, 6, 64, 1000])
def test_bins_are_fewer_than_half_of_the_rows(rows: int) -> None:
    own = drawn(rows, tuned=True)
    assert 2 <= len(own) < rows / 2
    assert len(own.unique()) == len(own)
    assert drawn(rows, tuned=False).tolist() == list(range(rows))


@pytest.mark.parametrize("rows", [1, 2, 4])
def test_a_layer_too_narrow_to_hide_two_bins_is_refused(rows: int) -> None:
    with pytest.raises(RunError, match="tuned = false"):
        drawn(rows, tuned=True)
