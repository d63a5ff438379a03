"""Mixup and InstaHide: shares, labels and signs."""

import pytest
import torch
from torch import Tensor

from fedsim.clients.defenses import Batch, InstaHide, Mixup, Private
from fedsim.models import MLP

pytestmark = pytest.mark.numeric

COUNT, CLASSES = 400, 6
SHAPE = (1, 2, 2)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def own() -> Batch:
    """Return images of 0.8 that are all of class 0."""
    return Batch(torch.full((COUNT, *SHAPE), 0.8), torch.zeros(COUNT, dtype=torch.long))


def others(count: int) -> tuple[Tensor, Tensor]:
    """Return images of 0.3 that are all of class 1."""
    return torch.full((count, *SHAPE), 0.3), torch.ones(count, dtype=torch.long)


PRIVATE = Private(others, CLASSES, MLP().build(SHAPE, CLASSES, seed=0))


@pytest.mark.parametrize(("alpha", "variance"), [(0.2, 1 / 5.6), (1.0, 1 / 12), (50.0, 1 / 404)])
def test_mixups_shares_are_of_the_beta_distribution(alpha: float, variance: float) -> None:
    done = Mixup(alpha=alpha).protect_batch(own(), PRIVATE, generator())
    shares = done.labels[:, 0]
    assert float(shares.mean()) == pytest.approx(0.5, abs=0.06)
    assert float(shares.var()) == pytest.approx(variance, rel=0.2)
    assert done.did["own_share"] == pytest.approx(float(shares.mean()), rel=1e-5)


def test_mixup_mixes_labels_as_it_mixes_images() -> None:
    done = Mixup(alpha=1.0).protect_batch(own(), PRIVATE, generator())
    share = done.labels[:, 0]
    torch.testing.assert_close(done.labels[:, 1], 1 - share)
    expected = (0.8 * share + 0.3 * (1 - share))[:, None, None, None].expand(-1, *SHAPE)
    torch.testing.assert_close(done.inputs, expected)


def test_soft_labels_are_mixed_again() -> None:
    batch = Mixup(alpha=1.0).protect_batch(own(), PRIVATE, generator())
    again = Mixup(alpha=1e6).protect_batch(batch, PRIVATE, generator())
    torch.testing.assert_close(again.labels[:, 0], batch.labels[:, 0] / 2, rtol=0, atol=3e-3)


def test_mixup_of_tiny_alpha_is_one_of_both() -> None:
    done = Mixup(alpha=1e-6).protect_batch(own(), PRIVATE, generator())
    assert bool(done.inputs.isfinite().all())
    torch.testing.assert_close(done.labels.sum(1), torch.ones(COUNT))


@pytest.mark.parametrize("images", [2, 3, 6])
def test_no_share_of_instahide_is_above_its_bound(images: int) -> None:
    done = InstaHide(images=images).protect_batch(own(), PRIVATE, generator())
    share = done.labels[:, 0]
    assert 0 <= float(share.min()) <= float(share.max()) <= 0.65 + 1e-6
    assert float(share.mean()) == pytest.approx(1 / images, abs=0.03)
    torch.testing.assert_close(done.labels.sum(1), torch.ones(COUNT))


def test_instahide_flips_half_of_the_pixels_about_grey() -> None:
    done = InstaHide(images=4).protect_batch(own(), PRIVATE, generator())
    share = done.labels[:, 0]
    mixed = (0.8 * share + 0.3 * (1 - share))[:, None, None, None].expand(-1, *SHAPE)
    kept = (done.inputs - mixed).abs() < 1e-5
    flipped = (done.inputs - (1 - mixed)).abs() < 1e-5
    assert bool((kept | flipped).all())
    assert float(flipped.double().mean()) == pytest.approx(0.5, abs=0.05)
    # What the signs hide is the distance from grey, which stays.
    torch.testing.assert_close((2 * done.inputs - 1).abs(), (2 * mixed - 1).abs())
