"""Local differential privacy: the noise is that of the bound, not of the upload."""

import numpy as np
import pytest
import torch
from scipy import stats

from fedsim.clients.defenses import LocalDP
from fedsim.clients.defenses.base import Mechanism

COUNT = 50_000


@pytest.mark.parametrize("size", [0.0, 1e-3, 10.0])
def test_distribution(size: float) -> None:
    upload = {"g": torch.full((COUNT,), size, dtype=torch.float64)}
    defense = LocalDP(norm=2.0, noise_multiplier=0.5)
    done = defense.protect_upload(upload, torch.Generator().manual_seed(0))
    centre = min(size, 2.0 / np.sqrt(COUNT))
    drawn = done.tensors["g"].numpy() - centre
    assert stats.kstest(drawn, stats.norm(scale=1.0).cdf).pvalue > 0.01
    assert done.did["noise_std"] == pytest.approx(np.sqrt(np.mean(drawn**2)))
    assert done.did["norm_before"] == pytest.approx(size * np.sqrt(COUNT))
    assert done.did["clipped_share"] == (size * np.sqrt(COUNT) > 2)
    assert done.value_bits == 64


def test_mechanism() -> None:
    defense = LocalDP(norm=2.0, noise_multiplier=0.5, delta=1e-6)
    assert defense.mechanism() == Mechanism(
        noise_multiplier=0.5, delta=1e-6, unit="client", norm=2.0
    )
    assert LocalDP(norm=1.0, noise_multiplier=1.0).delta == 1e-5
