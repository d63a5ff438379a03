"""Clipped uploads have the bound for a norm and the direction that they had."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fedsim.clients.defenses import Clipping, Defense, LayerClipping

values = st.lists(st.floats(-100, 100, width=32), min_size=1, max_size=20)
norms = st.floats(1e-3, 1e3)
TWO = {"a": torch.tensor([3.0, 4.0]), "b": torch.tensor([[0.0, 12.0]])}


@given(a=values, b=values, norm=norms)
def test_no_longer_than_the_bound_and_no_other_direction(
    a: list[float], b: list[float], norm: float
) -> None:
    upload = {"a": torch.tensor(a).double(), "b": torch.tensor(b).double()}
    before = math.sqrt(sum(v * v for v in a + b))
    done = Clipping(norm=norm).protect_upload(upload, torch.Generator())
    factor = min(1, norm / before) if before else 1
    for k, x in upload.items():
        assert torch.allclose(done.tensors[k], factor * x)
    assert done.did["norm_before"] == pytest.approx(before)
    assert done.did["clipped_share"] == (before > norm)


def test_one_norm_for_the_whole_or_for_each_tensor() -> None:
    whole = Clipping(norm=6.5).protect_upload(TWO, torch.Generator())
    assert whole.tensors["a"].tolist() == [1.5, 2.0]
    assert whole.tensors["b"].tolist() == [[0.0, 6.0]]
    assert whole.did == {"norm_before": 13.0, "clipped_share": 1.0}
    each = LayerClipping(norm=6.0).protect_upload(TWO, torch.Generator())
    assert each.tensors["a"].tolist() == [3.0, 4.0]
    assert each.tensors["b"].tolist() == [[0.0, 6.0]]
    assert each.did == {"norm_before": 13.0, "clipped_share": 0.5}


@pytest.mark.parametrize("defense", [Clipping(norm=1.0), LayerClipping(norm=1.0)], ids=str)
def test_what_is_scaled_needs_full_precision_again(defense: Defense) -> None:
    small = {"a": torch.tensor([0.1])}
    assert defense.protect_upload(small, torch.Generator()).value_bits is None
    assert defense.protect_upload(TWO, torch.Generator()).value_bits == 32


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_no_norm_no_upload(bad: float) -> None:
    upload = {**TWO, "bad": torch.tensor([bad, 0.0])}
    whole = Clipping(norm=1.0).protect_upload(upload, torch.Generator()).tensors
    assert all(bool(x.isnan().all()) for x in whole.values())
    each = LayerClipping(norm=20.0).protect_upload(upload, torch.Generator()).tensors
    assert bool(each["bad"].isnan().all())
    assert torch.equal(each["a"], TWO["a"])


def test_squares_beyond_float32() -> None:
    upload = {"a": torch.tensor([3e30, 4e30])}
    done = Clipping(norm=5.0).protect_upload(upload, torch.Generator()).tensors["a"]
    torch.testing.assert_close(done, torch.tensor([3.0, 4.0]))
