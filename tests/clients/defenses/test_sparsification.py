"""Random sparsification and partial uploads leave out what they say."""

from decimal import Decimal

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fedsim.clients.defenses import PartialUpload, RandomSparsification, protect

COUNT = 50_000


@pytest.mark.parametrize("fraction", [0.1, 0.9])
@pytest.mark.parametrize(("unbiased", "kept"), [(True, 1.0), (False, None)])
def test_share_and_scale(fraction: float, unbiased: bool, kept: float | None) -> None:
    upload = {"g": torch.full((COUNT,), 3.0)}
    defense = RandomSparsification(fraction=fraction, unbiased=unbiased)
    done = defense.protect_upload(upload, torch.Generator().manual_seed(0))
    after = done.tensors["g"]
    value = 3 / (1 - fraction) if kept else 3.0
    torch.testing.assert_close(after[after != 0], torch.full_like(after[after != 0], value))
    assert done.did["kept_fraction"] == pytest.approx(1 - fraction, abs=0.01)
    assert done.did["kept_fraction"] == float((after != 0).double().mean())
    mean = 3.0 if unbiased else 3 * (1 - fraction)
    assert float(after.mean()) == pytest.approx(mean, rel=0.05)
    assert done.value_bits == (32 if unbiased else None)


def test_what_is_large_goes_too() -> None:
    upload = {"g": torch.linspace(0.01, 1, COUNT)}
    defense = RandomSparsification(fraction=0.5, unbiased=False)
    after = defense.protect_upload(upload, torch.Generator().manual_seed(0)).tensors["g"]
    assert float((after[-COUNT // 10 :] == 0).double().mean()) == pytest.approx(0.5, abs=0.03)


@given(fraction=st.floats(0, 1), count=st.integers(1, 30), seed=st.integers(0, 9))
def test_as_many_tensors_as_asked_are_kept_back(fraction: float, count: int, seed: int) -> None:
    upload = {str(i): torch.ones(i + 1) for i in range(count)}
    generator = torch.Generator().manual_seed(seed)
    done = PartialUpload(fraction=fraction).protect_upload(upload, generator)
    sent = [k for k, x in done.tensors.items() if x.any()]
    assert len(sent) == count - int(Decimal(repr(fraction)) * count) == done.did["kept_tensors"]
    assert all(torch.equal(done.tensors[k], upload[k]) for k in sent)


def test_nothing_is_sent_of_what_is_kept_back() -> None:
    upload = {"a": torch.ones(10), "b": torch.ones(10)}
    done = protect([PartialUpload(fraction=0.5)], upload, torch.Generator().manual_seed(0))
    assert done.num_bytes == 40
    assert done.records[0].did == {"kept_fraction": 0.5, "kept_tensors": 1.0}


def test_every_tensor_has_its_turn() -> None:
    upload = {k: torch.ones(2) for k in "abc"}
    generator = torch.Generator().manual_seed(0)
    defense = PartialUpload(fraction=0.5)
    sent = [defense.protect_upload(upload, generator).tensors for _ in range(300)]
    for k in "abc":
        share = sum(bool(tensors[k].any()) for tensors in sent) / 300
        assert share == pytest.approx(2 / 3, abs=0.1)
