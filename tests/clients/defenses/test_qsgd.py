"""Random rounding is unbiased, to the next level on either side."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fedsim.clients.defenses import QSGD, Defense, StochasticQuantisation, protect

pytestmark = pytest.mark.numeric

DEFENSES = [QSGD(levels=1), QSGD(levels=16), *(StochasticQuantisation(bits=b) for b in (2, 4, 8))]
every_defense = pytest.mark.parametrize("defense", DEFENSES, ids=str)


def step_of(defense: Defense, x: torch.Tensor) -> float:
    if isinstance(defense, QSGD):
        return float(x.norm()) / defense.levels
    assert isinstance(defense, StochasticQuantisation)
    return float(x.abs().max()) / (2 ** (defense.bits - 1) - 1)


@every_defense
@given(
    values=st.lists(st.floats(-100, 100, width=32), min_size=1, max_size=20),
    seed=st.integers(0, 99),
)
def test_each_value_goes_to_a_neighbouring_level(
    defense: Defense, values: list[float], seed: int
) -> None:
    x = torch.tensor(values).double()
    generator = torch.Generator().manual_seed(seed)
    after = defense.protect_upload({"g": x}, generator).tensors["g"]
    step = step_of(defense, x)
    if step:
        assert bool(((after - x).abs() < step * (1 + 1e-9)).all())
        assert torch.allclose((after / step).round() * step, after)
    else:
        assert not after.any()


@pytest.mark.slow
@every_defense
def test_the_mean_stays(defense: Defense) -> None:
    """Within five standard errors, and no closer than noise of that size would be."""
    x = torch.randn(12, generator=torch.Generator().manual_seed(0)).double()
    generator = torch.Generator().manual_seed(1)
    draws = torch.stack(
        [defense.protect_upload({"g": x}, generator).tensors["g"] for _ in range(4000)]
    )
    level = x / step_of(defense, x)
    part = level - level.floor()
    expected = (part * (1 - part)).sqrt() * step_of(defense, x)
    error = (draws.mean(0) - x).abs()
    assert bool((error <= 5 * expected / 4000**0.5 + 1e-9).all())
    torch.testing.assert_close(draws.std(0), expected, rtol=0.15, atol=1e-3)


@pytest.mark.parametrize(
    ("defense", "bits"),
    [
        (QSGD(levels=1), 2),
        (QSGD(levels=4), 4),
        (QSGD(levels=127), 8),
        (StochasticQuantisation(bits=2), 2),
        (StochasticQuantisation(bits=8), 8),
    ],
    ids=str,
)
def test_bits(defense: Defense, bits: int) -> None:
    upload = {"a": torch.ones(8), "b": torch.ones(2)}
    done = defense.protect_upload(upload, torch.Generator().manual_seed(0))
    assert (done.value_bits, done.overhead_bytes) == (bits, 8)


def test_zeros_need_no_values_on_the_wire() -> None:
    upload = {"a": torch.cat([torch.ones(1), torch.zeros(799)])}
    done = protect([StochasticQuantisation(bits=8)], upload, torch.Generator())
    assert done.num_bytes == 1 + 4 + 4


@every_defense
def test_no_size_no_levels(defense: Defense) -> None:
    for bad in (math.nan, math.inf):
        upload = {"g": torch.tensor([1.0, bad]), "h": torch.tensor([1.0])}
        done = defense.protect_upload(upload, torch.Generator().manual_seed(0)).tensors
        assert bool(done["g"].isnan().all())
        assert done["h"].tolist() == [1.0]
