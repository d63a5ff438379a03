"""Priors in closed form, and what the learned one has learned."""

import math
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.func import grad, vmap

from fedsim.attacks.matching.priors import L2, Learned, Prior, TotalVariation, learned
from fedsim.attacks.matching.priors.denoiser import Denoiser, train_denoiser
from fedsim.core.errors import AttackError
from fedsim.data import FashionMnistMini, load_dataset

pytestmark = pytest.mark.numeric

HELD_OUT = 50
STEP = torch.tensor([[0.0, 0.0, 1.0], [0.0, 0.0, 1.0]]).view(1, 1, 2, 3)
"""Two of four horizontal differences are one; all three vertical ones are zero."""


@pytest.fixture(scope="module")
def public_images() -> Tensor:
    """Clothes of 14 x 14."""
    public = load_dataset(FashionMnistMini()).test
    images, _ = public.batch(np.arange(300))
    return nn.functional.avg_pool2d(images, 2)


@pytest.fixture(scope="module")
def prior(public_images: Tensor) -> Learned:
    return Learned.from_images(public_images[HELD_OUT:], noise_std=0.1)


@pytest.fixture(params=["tv", "tv sum", "l2", "learned"])
def any_prior(request: pytest.FixtureRequest, prior: Learned) -> Prior:
    priors: dict[str, Prior] = {
        "tv": TotalVariation(),
        "tv sum": TotalVariation(2.0, "sum", 0.03),
        "l2": L2(),
        "learned": prior,
    }
    return priors[str(request.param)]


def noisy(images: Tensor, std: float) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return images + std * torch.randn(images.shape, generator=generator)


# What all of them keep to.


@pytest.mark.slow
def test_the_cost_is_a_scalar_that_is_not_negative(any_prior: Prior) -> None:
    for batch in (1, 3):
        cost = any_prior(torch.rand(batch, 1, 14, 14, generator=torch.Generator().manual_seed(0)))
        assert cost.shape == ()
        assert cost >= 0


def test_the_weight_is_a_factor(any_prior: Prior, public_images: Tensor) -> None:
    assert isinstance(any_prior, TotalVariation | L2 | Learned)
    doubled = 2 * any_prior(public_images[:1])
    heavier = replace(any_prior, weight=2 * any_prior.weight)
    torch.testing.assert_close(heavier(public_images[:1]), doubled)


def test_derivatives(any_prior: Prior, public_images: Tensor) -> None:
    data = noisy(public_images[:2], 0.1).double().requires_grad_()
    assert torch.autograd.gradcheck(any_prior, (data,), atol=1e-4)


def test_derivatives_are_finite_everywhere(any_prior: Prior) -> None:
    for level in (0.0, 0.5, 100.0):
        slope = grad(any_prior)(torch.full((1, 1, 14, 14), level))
        assert bool(slope.isfinite().all())


def test_mapped_over_lanes_it_is_the_same(any_prior: Prior, public_images: Tensor) -> None:
    lanes = public_images[:6].view(3, 2, 1, 14, 14)
    expected = torch.stack([any_prior(lane) for lane in lanes])
    torch.testing.assert_close(vmap(any_prior)(lanes), expected)


# Total variation and the L2 norm.


def test_total_variation_is_a_mean_or_a_sum() -> None:
    exact = {"smoothing": 1e-6}
    assert TotalVariation(3.0, **exact)(STEP) == pytest.approx(3 * 2 / 4, abs=1e-4)
    assert TotalVariation(3.0, "sum", **exact)(STEP) == pytest.approx(3 * 2, abs=1e-4)


def test_total_variation_sees_any_number_of_channels() -> None:
    colour = STEP.expand(2, 5, 2, 3)
    assert TotalVariation(1.0)(colour) == pytest.approx(float(TotalVariation(1.0)(STEP)))
    each = float(TotalVariation(1.0, "sum")(STEP))
    assert TotalVariation(1.0, "sum")(colour) == pytest.approx(10 * each, rel=1e-5)


def test_total_variation_of_one_pixel_or_of_a_plain_image_is_zero() -> None:
    assert TotalVariation(1.0)(torch.rand(1, 1, 1, 1)) == 0
    assert TotalVariation(1.0, "sum")(torch.full((1, 3, 4, 4), 0.3)) == 0


def test_small_differences_count_by_their_square() -> None:
    small = 0.001 * STEP
    assert TotalVariation(1.0, "sum", 0.1)(small) == pytest.approx(2 * 1e-6 / 0.2, rel=1e-2)


def test_l2_is_the_distance_from_grey() -> None:
    assert L2(2.0)(torch.full((1, 1, 2, 2), 0.5)) == 0
    assert L2(2.0)(torch.ones(1, 1, 2, 2)) == 2 * 4 * 0.25


# The learned prior.


@pytest.mark.parametrize(("std", "gain_db"), [(0.05, 1.0), (0.1, 3.0), (0.3, 6.0)])
def test_a_step_down_the_energy_denoises(
    prior: Learned, public_images: Tensor, std: float, gain_db: float
) -> None:
    """Tweedie's formula, on images that it has not seen."""
    clean = public_images[:HELD_OUT]
    dirty = noisy(clean, std)
    level = torch.full((HELD_OUT,), std)
    slope = grad(lambda x: prior.denoiser(x, level).sum())(dirty)
    before, after = ((x - clean).square().mean() for x in (dirty, dirty - std**2 * slope))
    assert 10 * math.log10(float(before / after)) > gain_db


def test_images_of_the_kind_cost_less_than_others(prior: Learned, public_images: Tensor) -> None:
    for image in public_images[:HELD_OUT, None]:
        shuffled = image.flatten()[torch.randperm(196, generator=torch.Generator().manual_seed(0))]
        assert prior(image) < prior(noisy(image, 0.2))
        assert prior(image) < prior(shuffled.view(image.shape))


def test_what_is_nothing_like_them_costs_little_more(prior: Learned) -> None:
    """The cost of a growing energy is that of its logarithm."""
    far, further = (prior(torch.full((1, 1, 14, 14), x)) for x in (1e3, 1e4))
    assert further - far == pytest.approx(prior.typical * math.log(100), rel=0.02)


def test_the_typical_energy_is_that_of_the_public_images(
    prior: Learned, public_images: Tensor
) -> None:
    seen = public_images[HELD_OUT:]
    energy = prior.denoiser(seen, torch.full((len(seen),), 0.1))
    assert prior.typical == pytest.approx(float(energy.mean()), rel=1e-4)


def test_examples_of_a_batch_add_up(prior: Learned, public_images: Tensor) -> None:
    together = prior(public_images[:3])
    torch.testing.assert_close(together, sum(prior(x) for x in public_images[:3, None]))


def test_it_is_trained_once(
    prior: Learned, public_images: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(learned, "train_denoiser", None)
    again = Learned.from_images(public_images[HELD_OUT:].clone(), noise_std=0.1)
    assert again == prior
    assert again.denoiser is prior.denoiser
    coarser = Learned.from_images(public_images[HELD_OUT:], noise_std=0.2)
    assert coarser.denoiser is prior.denoiser
    assert coarser != prior


def test_training_is_deterministic_and_draws_from_its_own_generator(public_images: Tensor) -> None:
    images = nn.functional.avg_pool2d(public_images[:20], 2)
    before = torch.get_rng_state()
    one, other, third = (train_denoiser(images, seed, steps=9) for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), before)
    states = [x.state_dict() for x in (one, other, third)]
    assert all(torch.equal(v, states[1][k]) for k, v in states[0].items())
    assert not all(torch.equal(v, states[2][k]) for k, v in states[0].items())
    assert not any(p.requires_grad for p in one.parameters())


def test_its_linear_estimate_is_the_best_of_gaussian_images() -> None:
    """Of images with few directions: mean + C (C + t^2)^-1 (x - mean), C their covariance."""
    generator = torch.Generator().manual_seed(0)
    low_rank = torch.randn(40, 3, generator=generator) @ torch.randn(3, 16, generator=generator)
    images = (0.5 + 0.1 * low_rank).view(40, 1, 4, 4)
    denoiser = Denoiser(images, generator)
    flat = images.flatten(1).double()
    covariance = torch.cov(flat.T, correction=0)
    x, t = torch.rand(5, 16, generator=generator), 0.3
    shrink = covariance @ torch.linalg.inv(covariance + t**2 * torch.eye(16).double())
    expected = flat.mean(0) + (x - flat.mean(0)) @ shrink
    found = denoiser._linear(x, torch.full((5, 1), t))
    torch.testing.assert_close(found, expected.float(), rtol=0, atol=1e-4)


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 64, 64), (3, 66, 70), (1, 5, 9)], ids=str)
def test_any_shape_of_image(shape: tuple[int, int, int]) -> None:
    images = torch.rand(3, *shape, generator=torch.Generator().manual_seed(0))
    denoiser = Denoiser(images, torch.Generator().manual_seed(0))
    energy = denoiser(images, torch.full((3,), 0.1))
    assert energy.shape == (3,)
    assert bool((energy >= 0).all())


def test_images_that_are_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learned, "train_denoiser", partial(train_denoiser, steps=9))
    prior = Learned.from_images(torch.full((4, 1, 4, 4), 0.25), noise_std=0.1)
    same, other = (prior(torch.full((1, 1, 4, 4), x)) for x in (0.25, 0.75))
    assert 0 <= same < other


@pytest.mark.parametrize("shape", [(1, 1, 8, 8), (50, 8, 8)], ids=str)
def test_too_few_images(shape: tuple[int, ...]) -> None:
    with pytest.raises(AttackError, match=r"public images have shape .* at least two"):
        Learned.from_images(torch.zeros(shape), noise_std=0.1)


def test_data_of_another_shape(prior: Learned) -> None:
    with pytest.raises(AttackError, match=r"shape \(1, 28, 28\), but .* shape \(1, 14, 14\)"):
        prior(torch.zeros(1, 1, 28, 28))
