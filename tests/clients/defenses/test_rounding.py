"""Rounding agrees with other implementations and reports what it lost."""

import numpy as np
import pytest
import torch
from torch import Tensor

from fedsim.clients.defenses import Bfloat16, Fp16, Int8, Protected


def values(dtype: torch.dtype = torch.float32) -> Tensor:
    """Normal, subnormal, tiny and large values in half precision, of both signs."""
    rng = torch.Generator().manual_seed(0)
    exponents = torch.empty(4000).uniform_(-30, 15, generator=rng)
    return (torch.randn(4000, generator=rng) * 2**exponents).to(dtype)


def apply(defense: Fp16 | Bfloat16 | Int8, x: Tensor) -> Protected:
    return defense.protect_upload({"g": x}, torch.Generator())


def test_fp16_is_numpys() -> None:
    x = values()
    x = x[x.abs() < 65000]
    expected = x.numpy().astype(np.float16).astype(np.float32)
    np.testing.assert_array_equal(apply(Fp16(), x).tensors["g"].numpy(), expected)


def test_bfloat16_is_torchs() -> None:
    x = values()
    assert torch.equal(apply(Bfloat16(), x).tensors["g"], x.bfloat16().float())


def test_bfloat16_rounds_half_to_even() -> None:
    x = torch.tensor([1 + 2**-8, 1 + 3 * 2**-8])
    assert apply(Bfloat16(), x).tensors["g"].tolist() == [1.0, 1 + 2**-6]


@pytest.mark.parametrize(
    ("defense", "largest"), [(Fp16(), 65504.0), (Bfloat16(), torch.finfo(torch.bfloat16).max)]
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_values_beyond_the_largest_saturate(
    defense: Fp16 | Bfloat16, largest: float, dtype: torch.dtype
) -> None:
    beyond = torch.tensor([largest * 1.003, -largest * 1.003, largest, 1.0], dtype=dtype)
    done = apply(defense, beyond)
    assert done.tensors["g"].tolist() == [largest, -largest, largest, 1.0]
    assert done.did["saturated"] == 2.0


def test_a_diverged_upload_is_not_made_finite() -> None:
    x = torch.tensor([float("inf"), float("-inf"), float("nan"), 1.0])
    done = apply(Fp16(), x)
    torch.testing.assert_close(done.tensors["g"], x, rtol=0, atol=0, equal_nan=True)
    assert done.did["saturated"] == 0.0
    assert apply(Int8(), x).tensors["g"].isnan().all()


def test_rounding_rms_is_measured() -> None:
    x = torch.tensor([1 + 2**-12, 1.0], dtype=torch.float64)
    assert apply(Fp16(), x).did["rounding_rms"] == pytest.approx(2**-12 / 2**0.5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_int8_error_is_at_most_half_a_step(dtype: torch.dtype) -> None:
    x = torch.randn(5000, generator=torch.Generator().manual_seed(0), dtype=dtype)
    scale = float(x.abs().max()) / 127
    restored = apply(Int8(), x).tensors["g"]
    assert float((restored - x).abs().max()) <= scale / 2 * (1 + 1e-5)
    assert restored.unique().numel() <= 255
    levels = restored / scale
    torch.testing.assert_close(levels, levels.round(), rtol=0, atol=1e-4)
    assert float(restored.abs().max()) == pytest.approx(float(x.abs().max()), rel=1e-6)


def test_int8_has_one_scale_per_tensor() -> None:
    upload = {"big": torch.tensor([127.0, 0.6]), "small": torch.tensor([1.27, 0.006])}
    done = Int8().protect_upload(upload, torch.Generator())
    assert done.tensors["big"].tolist() == [127.0, 1.0]
    assert done.tensors["small"].tolist() == pytest.approx([1.27, 0.01])
    assert (done.value_bits, done.overhead_bytes) == (8, 8)


@pytest.mark.parametrize("value", [0.0, 1e-45, 1e-38, 3e38])
def test_int8_of_extreme_tensors(value: float) -> None:
    x = torch.full((4,), value)
    torch.testing.assert_close(apply(Int8(), x).tensors["g"], x, rtol=1e-6, atol=0)
