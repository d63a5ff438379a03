"""The noise has the distribution that it is said to have."""

import numpy as np
import pytest
import torch
from scipy import stats

from fedsim.clients.defenses import Defense, GaussianNoise, LaplacianNoise, LocalDP

COUNT = 50_000


def noise(defense: Defense, count: int = COUNT, seed: int = 0) -> tuple[np.ndarray, float]:
    upload = {"g": torch.zeros(count, dtype=torch.float64)}
    done = defense.protect_upload(upload, torch.Generator().manual_seed(seed))
    return done.tensors["g"].numpy(), done.did["noise_std"]


@pytest.mark.parametrize("std", [1e-4, 0.5])
def test_gaussian_distribution(std: float) -> None:
    drawn, measured = noise(GaussianNoise(std=std))
    assert stats.kstest(drawn, stats.norm(scale=std).cdf).pvalue > 0.01
    assert drawn.std() == pytest.approx(std, rel=0.02)
    assert measured == pytest.approx(np.sqrt(np.mean(drawn**2)))


@pytest.mark.parametrize("scale", [1e-4, 0.5])
def test_laplacian_distribution(scale: float) -> None:
    drawn, measured = noise(LaplacianNoise(scale=scale))
    assert stats.kstest(drawn, stats.laplace(scale=scale).cdf).pvalue > 0.01
    assert drawn.var() == pytest.approx(2 * scale**2, rel=0.05)
    assert measured == pytest.approx(scale * 2**0.5, rel=0.02)


NORMAL_KURTOSIS, LAPLACE_KURTOSIS = 3.0, 6.0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize(
    ("defense", "variance", "kurtosis"),
    [
        (GaussianNoise(std=0.5), 0.25, NORMAL_KURTOSIS),
        (LaplacianNoise(scale=0.5), 2 * 0.25, LAPLACE_KURTOSIS),
        (LocalDP(norm=2.0, noise_multiplier=0.25), 0.25, NORMAL_KURTOSIS),
    ],
    ids=["gaussian", "laplacian", "local-dp"],
)
def test_moments_are_those_of_the_distribution_in_tensors_of_any_shape(
    defense: Defense, variance: float, kurtosis: float, dtype: torch.dtype
) -> None:
    upload = {"conv": torch.zeros(40, 50, 10, 10, dtype=dtype), "bias": torch.zeros(7, dtype=dtype)}
    done = defense.protect_upload(upload, torch.Generator().manual_seed(4)).tensors
    drawn = done["conv"].double().flatten().numpy()
    # Five standard errors each, of 200,000 draws; that of the fourth moment is measured.
    count = len(drawn)
    assert abs(drawn.mean()) < 5 * (variance / count) ** 0.5
    assert abs(drawn.var() - variance) < 5 * variance * ((kurtosis - 1) / count) ** 0.5
    assert abs(stats.skew(drawn)) < 5 * (np.mean(drawn**6) / variance**3 / count) ** 0.5
    fourth = drawn**4 / variance**2
    assert abs(fourth.mean() - kurtosis) < 5 * fourth.std() / count**0.5
    assert done["bias"].unique().numel() == 7


def test_the_two_are_told_apart() -> None:
    gaussian, _ = noise(GaussianNoise(std=2**0.5))
    assert stats.kstest(gaussian, stats.laplace(scale=1).cdf).pvalue < 1e-6


def test_noise_is_independent_across_coordinates_and_tensors() -> None:
    upload = {"a": torch.zeros(COUNT), "b": torch.zeros(COUNT)}
    done = GaussianNoise(std=1.0).protect_upload(upload, torch.Generator().manual_seed(3)).tensors
    a, b = done["a"].numpy(), done["b"].numpy()
    assert abs(np.corrcoef(a, b)[0, 1]) < 0.02
    assert abs(np.corrcoef(a[1:], a[:-1])[0, 1]) < 0.02


def test_noise_is_added_to_the_values() -> None:
    upload = {"g": torch.full((COUNT,), 3.0)}
    done = LaplacianNoise(scale=0.1).protect_upload(upload, torch.Generator().manual_seed(0))
    assert float(done.tensors["g"].mean()) == pytest.approx(3.0, abs=0.005)


def test_measured_over_all_tensors_together() -> None:
    upload = {"scalar": torch.tensor(0.0), "many": torch.zeros(COUNT)}
    done = GaussianNoise(std=0.2).protect_upload(upload, torch.Generator().manual_seed(0))
    assert done.did["noise_std"] == pytest.approx(0.2, rel=0.02)


def test_strengths_are_told_in_the_units_of_others() -> None:
    assert GaussianNoise(std=0.01).other_units == pytest.approx({"variance": 1e-4})
    told = LaplacianNoise(scale=0.01).other_units
    assert told == pytest.approx({"std": 0.01 * 2**0.5, "variance": 2e-4})
