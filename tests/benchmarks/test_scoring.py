"""Time to score one reconstructed picture, with its baselines and its rank."""

import pytest
import torch

from fedsim.scoring.metrics.baselines import blind_guesses
from fedsim.scoring.metrics.evidence import gather


@pytest.mark.bench
@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 64, 64)], ids=["28x28", "64x64x3"])
def test_scoring_time(benchmark, shape: tuple[int, int, int]) -> None:
    random = torch.Generator().manual_seed(0)
    public = torch.rand(50, *shape, generator=random, dtype=torch.float64)
    original = torch.rand(1, *shape, generator=random, dtype=torch.float64)
    found = (original + 0.05).clamp(0, 1)
    guesses = blind_guesses(original, public, torch.zeros(50), [0])
    [evidence] = benchmark(gather, found, original, guesses, [public])
    assert evidence.rank == 1
