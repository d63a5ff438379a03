"""Audit of a mechanism: a lower bound on epsilon from canaries, beside what is claimed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy.special import betaincinv, ndtri

from fedsim.core.errors import RunError
from fedsim.scoring.privacy.accountant import Array, Release
from fedsim.scoring.privacy.canaries import Client, Secrets, repetition

Guesses = npt.NDArray[np.bool_]

CONFIDENCE = 0.95
"""Confidence of a measured epsilon."""

_SECRETS = 4000
"""Canaries of an audit, over all repetitions."""
_UPLOADS = 1200
"""Largest number of uploads of an audit; the rounds are cut short, not the repetitions."""
_REPETITIONS = 16
"""Fewest repetitions, from whose mean repeated noise is learnt."""


@dataclass(frozen=True)
class Audit:
    """Result of an audit.

    Attributes:
        uploads: number of uploads of each audited client.
        claimed: the accountant's epsilon for them, an upper bound.
        measured: lower bound on epsilon at 95 %, if the noise has the claimed shape, of any size.
        measured_any: lower bound on epsilon at 95 % for noise of any shape.
        canaries: number of canaries that were guessed.
    """

    uploads: int
    claimed: float
    measured: float
    measured_any: float
    canaries: int

    @property
    def refutes(self) -> bool:
        """Whether more was measured than is claimed."""
        return max(self.measured, self.measured_any) > self.claimed


@lru_cache(maxsize=256)
def audit(client: Client, release: Release, rounds: int) -> Audit:
    """Return the audit of a client's mechanism.

    As in one-shot auditing (Andrew et al., arXiv 2302.03098) many canaries, each with a secret,
    take part in the same uploads. The server guesses each secret from the likelihood ratio of the
    two. The rates of its errors, with their Clopper-Pearson bounds, contradict every trade-off
    curve above them: the largest noise multiplier whose curve they contradict gives ``measured``.

    Args:
        client: the client with its canaries.
        release: the mechanism as the accountant has it.
        rounds: number of uploads in the run; the audit may take fewer.

    Raises:
        RunError: more was measured than is claimed, and a second, larger audit agrees.
    """
    found = _audit(client, release, rounds, seed=1, size=1)
    if found.refutes:  # one in some dozens is, by chance
        found = _audit(client, release, rounds, seed=2, size=3)
    if found.refutes:
        measured = max(found.measured, found.measured_any)
        raise RunError(
            f"the privacy audit refutes the claim of {client.defenses}: claimed epsilon <= "
            f"{found.claimed:.4g}, measured >= {measured:.4g} at {CONFIDENCE:.0%} in "
            f"{found.uploads} uploads; the mechanism is not what it says: see "
            "fedsim.scoring.privacy"
        )
    return found


def _audit(client: Client, release: Release, rounds: int, *, seed: int, size: int) -> Audit:
    needed = -(-_SECRETS // client.canaries)
    repetitions = size * min(max(needed, _REPETITIONS), _UPLOADS)
    uploads = max(1, min(rounds, size * _UPLOADS // repetitions))
    delta = client.mechanism.delta
    secrets, scores = _guess(client, release, repetitions, uploads, seed)
    half = repetitions // 2
    threshold = _threshold(scores[:half].ravel(), secrets[:half].ravel())
    false, missed = _errors(scores[half:].ravel() > threshold, secrets[half:].ravel() == 0)
    noise = _shown(release, uploads, false, missed)
    return Audit(
        uploads,
        claimed=release.epsilon(uploads, delta),
        measured=0.0 if noise is None else release.with_noise(noise).epsilon(uploads, delta),
        measured_any=max(0.0, _epsilon(false, missed, delta), _epsilon(missed, false, delta)),
        canaries=secrets.size,
    )


def _guess(
    client: Client, release: Release, repetitions: int, uploads: int, seed: int
) -> tuple[Secrets, Array]:
    """Return secrets and scores of all canaries, ``(repetitions, canaries)``."""
    secrets = np.random.default_rng(seed).integers(0, 2, (repetitions, client.canaries))
    seen = np.stack(
        [client.observe(s, uploads, repetition(seed, i)) for i, s in enumerate(secrets)]
    )
    # Noise that repeats is known after some repetitions, and subtracted.
    seen -= seen.mean(axis=0)
    steps = client.local_steps if client.mechanism.unit == "example" else 1
    variance = release.noise_multiplier**2 * steps
    rate = release.drawn / release.population
    size = release.uses

    def weight(sign: float) -> Array:
        with np.errstate(divide="ignore"):
            inside = np.log(rate) + (2 * sign * size * seen - size**2) / (2 * variance)
            return np.asarray(np.logaddexp(np.log1p(-rate) if rate < 1 else -np.inf, inside))

    return secrets, (weight(1.0) - weight(-1.0)).sum(axis=1)


def _threshold(scores: Array, secrets: Secrets) -> float:
    """Return the threshold that separates best, by the distance of two Gaussians."""
    tried = np.quantile(scores, [0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9, 0.95, 0.98])
    rates = [_errors(scores > t, secrets == 0) for t in tried]
    return float(tried[int(np.argmax([-ndtri(a) - ndtri(b) for a, b in rates]))])


def _errors(guessed: Guesses, true: Guesses) -> tuple[float, float]:
    """Return upper bounds on the rates of false and of missed guesses, jointly at 95 %."""
    level = (1 + CONFIDENCE) / 2

    def bound(wrong: int, number: int) -> float:
        return float(betaincinv(wrong + 1, number - wrong, level)) if wrong < number else 1.0

    false, missed = int((guessed & ~true).sum()), int((~guessed & true).sum())
    return bound(false, int((~true).sum())), bound(missed, int(true.sum()))


def _epsilon(false: float, missed: float, delta: float) -> float:
    """Return the epsilon that two rates of errors need at least, whatever the mechanism."""
    right = 1 - missed - delta
    return math.log(right / false) if right > 0 else 0.0


def _shown(release: Release, uploads: int, false: float, missed: float) -> float | None:
    """Return the least noise multiplier that the rates of errors contradict; None if none is.

    More noise would make the errors even less likely: no more than this can be there.
    """
    low, high = release.noise_multiplier / 100, release.noise_multiplier * 100
    if not _contradicts(release.with_noise(high), uploads, false, missed):
        return None
    while high / low > 1.003:
        middle = math.sqrt(low * high)
        if _contradicts(release.with_noise(middle), uploads, false, missed):
            high = middle
        else:
            low = middle
    return high


def _contradicts(release: Release, uploads: int, false: float, missed: float) -> bool:
    """Return whether a test cannot have such small errors under a mechanism's trade-off curve."""
    epsilons = np.linspace(0, -math.log(min(false, missed)) + 1, 100)
    deltas = release.delta(epsilons, uploads)
    rates = ((false, missed), (missed, false))
    return any(bool((1 - b > np.exp(epsilons) * a + deltas).any()) for a, b in rates)
