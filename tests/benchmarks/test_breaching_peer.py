"""That breaching is asked fairly: without PyTorch's JIT, and from starts of its own.

uv run --group peers pytest tests/benchmarks/test_breaching_peer.py -m bench
"""

import inspect

import pytest
import torch

from tests.benchmarks import breaching_peer
from tests.victims import random_victims

pytestmark = [
    pytest.mark.bench,
    pytest.mark.filterwarnings("ignore"),  # of what breaching uses
    pytest.mark.skipif(
        not breaching_peer.available(), reason="breaching is not installed: uv run --group peers"
    ),
]


def test_without_the_jit() -> None:
    before = torch.jit._state._enabled.enabled
    objectives = breaching_peer.load().attacks.auxiliaries.objectives
    assert inspect.isfunction(objectives.Euclidean._euclidean)
    assert torch.jit._state._enabled.enabled == before


@pytest.mark.parametrize("preset", breaching_peer.PRESETS)
def test_its_iterations_are_those_stated(preset: str) -> None:
    config = breaching_peer.load().get_attack_config(preset)
    assert config.optim.max_iterations == breaching_peer.PRESETS[preset]


@pytest.mark.parametrize("preset", breaching_peer.PRESETS)
def test_reproducible(preset: str) -> None:
    victims = random_victims((3, 8, 8), count=1)
    [seen] = victims.observations()
    state = torch.get_rng_state()

    def found(seed: int) -> torch.Tensor:
        short = ("optim.max_iterations=2",)
        return breaching_peer.reconstruct(preset, victims.model, seen, 4, short, seed=seed)

    one = found(0)
    assert one.shape == (1, 3, 8, 8)
    assert torch.equal(one, found(0))
    assert not torch.equal(one, found(1))
    assert torch.equal(torch.get_rng_state(), state)
