"""Every original gets a reconstruction of its own, at the greatest total PSNR."""

from itertools import permutations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fedsim.scoring.metrics.images import psnr
from fedsim.scoring.metrics.matching import match


def batch(seed: int, size: int) -> torch.Tensor:
    return torch.rand(size, 2, 3, 4, generator=torch.Generator().manual_seed(seed))


@given(seed=st.integers(0, 2**32 - 1), order=st.permutations(range(7)))
@settings(max_examples=50, deadline=None)
def test_a_noisy_permutation_is_undone(seed: int, order: list[int]) -> None:
    originals = batch(seed, 7)
    reconstructed = originals[order] + 0.01 * (batch(seed + 1, 7) - 0.5)
    chosen = match(reconstructed, originals)
    assert [order[i] for i in chosen.tolist()] == list(range(7))


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=20, deadline=None)
def test_no_assignment_scores_more(seed: int) -> None:
    originals, reconstructed = batch(seed, 4), batch(seed + 1, 4)

    def total(order: tuple[int, ...]) -> float:
        return psnr(reconstructed[list(order)], originals).sum().item()

    best = max(permutations(range(4)), key=total)
    assert tuple(match(reconstructed, originals).tolist()) == best


def test_one_good_reconstruction_stands_for_one_original() -> None:
    originals = batch(0, 3)
    reconstructed = originals[[1, 1, 1]]
    assert sorted(match(reconstructed, originals).tolist()) == [0, 1, 2]


def test_an_exact_one_keeps_its_original() -> None:
    """By the squared error it loses it: 0 + 1 is more than 0.36 + 0.16."""
    originals = torch.tensor([0.6, 1.0]).reshape(2, 1, 1, 1)
    reconstructed = torch.tensor([0.0, 0.6]).reshape(2, 1, 1, 1)
    assert match(reconstructed, originals).tolist() == [1, 0]


def test_a_diverged_one_goes_where_no_other_is_wanted() -> None:
    originals = batch(0, 4)
    reconstructed = originals[[2, 0, 3, 1]].clone()
    reconstructed[1, 0, 0, 0] = float("nan")
    assert match(reconstructed, originals).tolist() == [1, 3, 0, 2]


def test_compared_as_they_are_scored() -> None:
    originals = torch.stack([torch.ones(1, 2, 2), torch.full((1, 2, 2), 0.6)])
    reconstructed = torch.stack([torch.full((1, 2, 2), 0.7), torch.full((1, 2, 2), 9.0)])
    assert match(reconstructed, originals).tolist() == [1, 0]


def test_what_was_mixed_in_may_be_left_over() -> None:
    originals = batch(0, 5)
    assert match(originals[[4, 1, 3, 0, 2]], originals[:2]).tolist() == [3, 1]


def test_shapes_must_agree() -> None:
    for reconstructed in (batch(0, 3), batch(0, 4)[..., :2]):
        with pytest.raises(ValueError, match="or more reconstructions than originals"):
            match(reconstructed, batch(0, 4))
