"""Upper bounds on what a client's uploads reveal, by privacy loss distributions.

Neighbouring data sets differ in one replaced example (or, for a whole client, in all of its
data). A contribution is clipped to a norm C, so replacing one moves a sum by 2C at most: the
Gaussian mechanism behind an upload has the noise multiplier sigma / 2 in units of its sensitivity.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import log_ndtr, ndtr, ndtri

Array = npt.NDArray[np.float64]

_POINTS = 1500
"""Points of the positive half of a privacy loss distribution of one upload."""
_TAIL = 9.0
"""Standard deviations of the loss that the grid covers; the mass beyond counts as unbounded."""
_COARSEST = 1.0
"""Largest distance of two points at which the grid is of use."""


@dataclass(frozen=True)
class Release:
    """The mechanism of differential privacy behind each of a client's uploads.

    Attributes:
        noise_multiplier: standard deviation of the noise on the sum, in units of the norm.
        drawn: number of different examples behind an upload, drawn without replacement.
        population: number of the client's examples.
        uses: largest number of noisy sums that one example is part of in an upload.
    """

    noise_multiplier: float
    drawn: int = 1
    population: int = 1
    uses: int = 1

    @property
    def samples(self) -> bool:
        """Whether an upload leaves out examples at random."""
        return self.drawn < self.population

    def epsilon(self, uploads: int, delta: float) -> float:
        """Return an upper bound on epsilon after a number of uploads.

        Args:
            uploads: number of uploads, each chosen with knowledge of those before.
            delta: the delta of (epsilon, delta).
        """
        bounds = [_gaussian_epsilon(self._distance(uploads), delta)]
        if self.samples:
            often, missed = self._often(uploads, delta)
            bounds.append(_gaussian_epsilon(self._distance(often), delta - missed))
            losses = _losses(self, uploads)
            if losses is not None:
                bounds.append(float(losses.get_epsilon_for_delta(delta)))
        return min(bounds)

    def success(self, uploads: int, blind: float) -> float:
        """Return the largest probability of a reconstruction, whatever the attack.

        Reconstruction robustness (Balle, Cherubin and Hayes, arXiv 2201.04845; Hayes, Mahloujifar
        and Balle, arXiv 2302.07225; for Gaussian noise Kaissis et al., arXiv 2307.03928): the
        uploads of a data set with another example in place are independent of the example, so the
        attack succeeds on them with the probability ``blind`` at most. The trade-off function
        bounds how much more often it succeeds on the true ones.

        Args:
            uploads: number of uploads.
            blind: probability of success, by the same criterion, without any upload.
        """
        found = float(ndtr(ndtri(blind) + self._distance(uploads)))
        losses = _losses(self, uploads) if self.samples else None
        if losses is not None:
            # One point of a convex function bounds it: the best of a grid is a bound too.
            epsilons = np.linspace(0, -math.log(blind), 200)
            deltas = np.asarray(losses.get_delta_for_epsilon(epsilons))
            found = min(found, float((blind * np.exp(epsilons) + deltas).min()))
        return min(1.0, found)

    def delta(self, epsilons: Array, uploads: int) -> Array:
        """Return the least delta shown for each epsilon after a number of uploads."""
        found = np.exp(_log_delta(self._distance(uploads), epsilons))
        losses = _losses(self, uploads) if self.samples else None
        if losses is not None:
            found = np.minimum(found, np.asarray(losses.get_delta_for_epsilon(epsilons)))
        return np.asarray(found)

    def with_noise(self, noise_multiplier: float) -> Release:
        """Return the same release with another noise multiplier."""
        return replace(self, noise_multiplier=noise_multiplier)

    def _distance(self, uploads: int) -> float:
        """Return the distance of two Gaussians that are as far apart as two neighbours."""
        return 2 / self.noise_multiplier * math.sqrt(uploads * self.uses)

    def _often(self, uploads: int, delta: float) -> tuple[int, float]:
        """Return a number of uploads that an example is rarely behind more often, and how rarely.

        The probability is at most half of ``delta``, and uses that each upload draws anew.
        """
        from scipy.stats import binom  # noqa: PLC0415  (a second, and few runs need it)

        often = binom(uploads, self.drawn / self.population)
        number = int(often.isf(delta / 2))
        return number, float(often.sf(number))


def _gaussian_epsilon(distance: float, delta: float) -> float:
    from dp_accounting.gaussian_mechanism import get_epsilon_gaussian  # noqa: PLC0415

    return float(get_epsilon_gaussian(1 / distance, delta)) if distance else 0.0


@lru_cache(maxsize=512)
def _losses(release: Release, uploads: int) -> Any:
    """Return the privacy loss distribution of several sampled uploads; None if out of range.

    An upload of a random subset differs from that of a neighbour at most as much as the mixture
    (1 - q) N(0, 1) + q N(2 / sigma, 1) from N(0, 1), or the other way round: Zhu, Dong and Wang,
    AISTATS 2022 (arXiv 2106.08567), theorem 11, from the advanced joint convexity of Balle, Barthe
    and Gaboardi, NeurIPS 2018 (arXiv 1807.01647). Neither order of the two dominates for all
    epsilons, so the distribution is made from the joint profile, and rounded up (Doroshenko et al.,
    arXiv 2207.04380).
    """
    from dp_accounting.pld import pld_pmf  # noqa: PLC0415

    distance, rate = 2 / release.noise_multiplier, release.drawn / release.population
    most = distance * (distance / 2 + _TAIL)
    largest = max(0.0, float(np.logaddexp(math.log1p(-rate), math.log(rate) + most)))
    gap = largest / _POINTS
    if not 0 < gap <= _COARSEST:
        return None
    epsilons: Array = np.arange(-_POINTS, _POINTS + 1, dtype=np.float64) * gap
    deltas = np.clip(_profile(distance, rate, epsilons), 0, 1)
    one = pld_pmf.create_pmf_pessimistic_connect_dots_fixed_gap(gap, -_POINTS, _POINTS, deltas)
    return one.self_compose(uploads)


def _profile(distance: float, rate: float, epsilons: Array) -> Array:
    """Return the delta of one sampled upload for each epsilon, negative ones included."""
    size = np.abs(epsilons)
    # log(1 + (e^size - 1) / rate), without an overflow
    inner = size + np.log1p(-np.expm1(-size) * (1 / rate - 1))
    above = rate * np.exp(_log_delta(distance, inner))
    return np.where(epsilons >= 0, above, np.exp(-size) * above - np.expm1(-size))


def _log_delta(distance: float, epsilons: Array) -> Array:
    """Return log delta of two Gaussians of variance 1 (Balle and Wang, arXiv 1805.06530)."""
    first = log_ndtr(distance / 2 - epsilons / distance)
    second = epsilons + log_ndtr(-distance / 2 - epsilons / distance)
    return np.asarray(first + np.log1p(-np.exp(np.minimum(second - first, -1e-16))))
