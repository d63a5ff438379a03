"""Tests of residuals against what a modelled uncertainty predicts."""

import pytest
import torch

from fedsim.attacks.matching.calibration import (
    plausible_draws,
    plausible_projection,
    plausible_sum,
    plausible_variance,
)
from fedsim.attacks.matching.objectives import GaussianLikelihood, LaplacianLikelihood, Objective

SEEDS = range(20)


def draw(kind: str, count: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    if kind == "gaussian":
        return torch.randn(count, generator=generator, dtype=torch.float64)
    uniform = torch.rand(count, generator=generator, dtype=torch.float64) - 0.5
    return -uniform.sign() * (1 - 2 * uniform.abs()).log()


@pytest.mark.parametrize(
    ("shape", "total", "plausible"),
    [
        (0.0, 0.0, True),
        (0.0, 1.0, False),
        (500.0, 500.0, True),
        (500.0, 250.0, False),
        (500.0, 1000.0, False),
        (1e6, 0.96e6, True),  # within the slack of the modelled variance
        (1e6, 1.10e6, False),
        (5.0, 12.0, True),  # few coordinates say little
    ],
)
def test_a_sum_is_plausible_near_its_mean(shape: float, total: float, plausible: bool) -> None:
    assert plausible_sum(total, shape) is plausible


def test_noise_has_no_part_of_the_signal() -> None:
    for seed in SEEDS:
        noise, signal = draw("gaussian", 1000, seed), 3 * draw("gaussian", 1000, 1000 + seed)
        assert plausible_projection(noise, signal)
        assert not plausible_projection(noise + 0.1 * signal, signal)
    assert plausible_projection(noise, torch.zeros(1000, dtype=torch.float64))


def test_a_variance_is_compared_with_its_own_spread() -> None:
    ones = torch.ones(400, dtype=torch.float64)
    assert plausible_variance(ones, ones, 3 * ones)
    assert plausible_variance(0.8 * ones, ones, 3 * ones)
    assert not plausible_variance(0.3 * ones, ones, 3 * ones)
    assert not plausible_variance(2 * ones, ones, 3 * ones)


@pytest.mark.parametrize("kind", ["gaussian", "laplacian"])
@pytest.mark.parametrize("seed", SEEDS)
def test_a_likelihood_explains_its_own_noise_and_no_other(kind: str, seed: int) -> None:
    def likelihood(scale: float) -> Objective:
        return GaussianLikelihood(scale) if kind == "gaussian" else LaplacianLikelihood(scale)

    truth = {"weight": draw("gaussian", 2000, seed).view(40, 50), "bias": draw("gaussian", 4, seed)}
    noise = draw(kind, 2004, 500 + seed)
    seen = {
        "weight": truth["weight"] + 0.1 * noise[:2000].view(40, 50),
        "bias": truth["bias"] + 0.1 * noise[2000:],
    }
    assert likelihood(0.1).explains(truth, seen, 0.0)
    assert not likelihood(0.2).explains(truth, seen, 0.0)
    assert not likelihood(0.05).explains(truth, seen, 0.0)
    half = {k: 0.5 * g for k, g in truth.items()}
    assert not likelihood(0.1).explains(half, seen, 0.0)


def test_draws_are_too_large_before_they_are_too_small() -> None:
    draws = torch.randn(64, generator=torch.Generator().manual_seed(0))
    assert plausible_draws(draws)
    assert plausible_draws(0.1 * draws)
    assert not plausible_draws(3 * draws)
