"""Alignment finds shifts, mirror images and fits, and gives noise no credit."""

import pytest
import torch

from fedsim.scoring.metrics.aligned import align, explained, reach

pytestmark = pytest.mark.numeric

GENERATOR = torch.Generator().manual_seed(0)


def pictures(number: int = 3, channels: int = 3, side: int = 24) -> torch.Tensor:
    return torch.rand(number, channels, side, side, generator=GENERATOR, dtype=torch.float64)


@pytest.mark.parametrize("rows", [-3, 0, 2])
@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("factor", [-1.0, 0.25])
def test_a_moved_copy_is_found(rows: int, mirrored: bool, factor: float) -> None:
    truth = pictures()
    found = torch.roll(truth, (rows, 1), (2, 3)) * factor + 0.5
    fit = align(found.flip(3) if mirrored else found, truth)
    assert torch.allclose(fit.fitted, fit.truths)
    assert fit.truths.shape == (3, 3, 18, 18)
    assert fit.explained == pytest.approx(1)


def test_a_shift_beyond_reach_is_not_found() -> None:
    truth = pictures()
    assert float(explained(torch.roll(truth, 5, 2), truth).max()) < 0.2


def test_by_brute_force() -> None:
    truth, found = pictures(1, 2, 10), pictures(1, 2, 10)
    inside = truth[..., 1:9, 1:9]
    centred = inside - inside.mean((2, 3), keepdim=True)
    best = 0.0
    for view in (found, found.flip(3)):
        for row in range(3):
            for column in range(3):
                part = view[..., row : row + 8, column : column + 8]
                part = part - part.mean((2, 3), keepdim=True)
                product = (part * centred).sum((2, 3))
                gain = (product.square() / part.square().sum((2, 3))).sum()
                best = max(best, float(gain / centred.square().sum()))
    assert float(explained(found, truth)) == pytest.approx(best)
    assert float(align(found, truth).explained) == pytest.approx(best)


def test_noise_shrinks_to_what_it_shares() -> None:
    truth = pictures(1, 1, 28)
    noisy = truth + truth.std() * torch.randn(truth.shape, generator=GENERATOR, dtype=truth.dtype)
    assert float(align(noisy, truth).explained) == pytest.approx(0.5, abs=0.1)


def test_a_plain_original_and_a_plain_guess_explain_nothing() -> None:
    truth = pictures()
    plain = torch.full_like(truth, 0.3)
    assert explained(plain, truth).tolist() == [0, 0, 0]
    assert explained(truth, plain).tolist() == [0, 0, 0]
    assert torch.allclose(align(truth, plain).fitted, plain[..., 3:-3, 3:-3])


@pytest.mark.parametrize(("side", "most"), [(4, 0), (8, 1), (16, 2), (28, 3), (224, 3)])
def test_reach(side: int, most: int) -> None:
    assert reach(side) == most
