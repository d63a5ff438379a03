"""Epsilon is an upper bound: of explicit pairs of neighbouring data sets, and of closed forms."""

import math

import numpy as np
import pytest
from scipy import optimize, stats

from fedsim.scoring.privacy import Release
from fedsim.scoring.privacy.accountant import Array

DELTA = 1e-5

SETTINGS = [
    # noise multiplier, batch, examples, rounds, proven lower bound: the replaced example against
    # others without a gradient
    (1.0, 8, 125, 100, 6.37),
    (2.0, 8, 125, 100, 2.62),
    (1.0, 32, 125, 100, 32.1),
    (4.0, 32, 125, 50, 3.87),
    (1.0, 32, 32, 1, 10.0),
    (1.0, 1, 125, 100, 0.68),
]


def needed_by_a_pair(release: Release, uploads: int) -> float:
    """Return the epsilon that an explicit pair needs, from a distribution rounded down.

    The gradients of all other examples point against that of the replaced one, which they equal in
    the other data set: (1 - q) N(0, 1) + q N(2 / sigma, 1) against N(0, 1).
    """
    rate, distance = release.drawn / release.population, 2 / release.noise_multiplier
    edges = np.linspace(-12, distance + 12, 20_001)
    ratio = np.log1p(rate * np.expm1(distance * edges - distance**2 / 2))
    first, second = stats.norm.cdf(edges - distance), stats.norm.cdf(edges)
    mass = np.diff((1 - rate) * second + rate * first)
    gap = distance / 1000
    lowest = math.floor(ratio[0] / gap)
    losses = np.floor(ratio[:-1] / gap).astype(int) - lowest
    total = composed(np.bincount(losses, weights=mass), uploads)
    values = (np.arange(len(total)) + uploads * lowest) * gap
    likely = total > 1e-20
    total, values = total[likely], values[likely]

    def excess(epsilon: float) -> float:
        above = values > epsilon
        return float((total[above] * -np.expm1(epsilon - values[above])).sum()) - DELTA

    return float(optimize.brentq(excess, 0, float(values[-1])))


def composed(one: Array, times: int) -> Array:
    length = (len(one) - 1) * times + 1
    size = 2 ** math.ceil(math.log2(length))
    return np.fft.irfft(np.fft.rfft(one, size) ** times, size)[:length].clip(min=0)


@pytest.mark.parametrize(("noise", "batch", "own", "rounds", "proven"), SETTINGS)
def test_epsilon_is_above_every_proven_lower_bound(
    noise: float, batch: int, own: int, rounds: int, proven: float
) -> None:
    release = Release(noise, batch, own)
    epsilon = release.epsilon(rounds, DELTA)
    assert float(f"{epsilon:.3g}") >= proven
    if batch < own:
        assert proven < needed_by_a_pair(release, rounds) <= epsilon
        assert epsilon <= 1.15 * needed_by_a_pair(release, rounds)


@pytest.mark.parametrize("noise", [0.01, 0.5, 3.0])
@pytest.mark.parametrize("uploads", [1, 30])
def test_without_sampling_it_is_the_gaussian_mechanism(noise: float, uploads: int) -> None:
    epsilon = Release(noise).epsilon(uploads, DELTA)
    distance = 2 / noise * math.sqrt(uploads)
    first = stats.norm.logcdf(distance / 2 - epsilon / distance)
    second = epsilon + stats.norm.logcdf(-distance / 2 - epsilon / distance)
    assert first + math.log1p(-math.exp(second - first)) == pytest.approx(math.log(DELTA))


@pytest.mark.parametrize("noise", [1e-3, 0.03, 0.2, 0.8, 2.0, 30.0])
def test_bounds_grow_with_uploads_and_examples_and_shrink_with_noise(noise: float) -> None:
    once, often = (Release(noise, 8, 125).epsilon(n, DELTA) for n in (1, 20))
    more = Release(noise, 16, 125).epsilon(20, DELTA)
    whole = Release(noise, 125, 125).epsilon(20, DELTA)
    assert 0 < once < often <= more <= whole
    assert Release(1.1 * noise, 8, 125).epsilon(20, DELTA) < often
    assert Release(noise, 125, 125, uses=2).epsilon(10, DELTA) == pytest.approx(whole)


@pytest.mark.parametrize("rounds", [1, 30])
def test_it_is_no_looser_than_a_library(rounds: int) -> None:
    dp = pytest.importorskip("dp_accounting")
    rdp = pytest.importorskip("dp_accounting.rdp")
    peer = rdp.RdpAccountant(neighboring_relation=dp.NeighboringRelation.REPLACE_ONE)
    gaussian = dp.GaussianDpEvent(1.0 / 2)  # in units of the sensitivity, which is twice the norm
    peer.compose(dp.SampledWithoutReplacementDpEvent(125, 8, gaussian), rounds)
    assert Release(1.0, 8, 125).epsilon(rounds, DELTA) <= peer.get_epsilon(DELTA)


@pytest.mark.parametrize("blind", [0.01, 0.3])
def test_the_success_of_reconstructions_is_that_of_the_best_test(blind: float) -> None:
    """For Gaussian noise the bound is met by the likelihood ratio."""
    success = Release(2.0).success(9, blind)
    assert success == pytest.approx(stats.norm.sf(stats.norm.isf(blind) - 3.0))
    sampled = Release(2.0, 8, 125).success(9, blind)
    assert blind < sampled < success
    assert Release(1e-3, 8, 125).success(900, blind) == 1
    assert Release(1e4, 8, 125).success(1, blind) == pytest.approx(blind, rel=0.01)
