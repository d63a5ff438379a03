"""Signs, and one size for each tensor."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fedsim.clients.defenses import SignSGD, protect


@given(values=st.lists(st.floats(-100, 100, width=32), min_size=1, max_size=40))
def test_signs_stay_and_so_does_the_mean_magnitude(values: list[float]) -> None:
    upload = {"g": torch.tensor(values).double()}
    done = SignSGD().protect_upload(upload, torch.Generator()).tensors["g"]
    size = sum(map(abs, values)) / len(values)
    expected = [-size if v < 0 else size for v in values]
    assert done.tolist() == pytest.approx(expected)


def test_one_bit_for_each_value_and_four_bytes_for_each_tensor() -> None:
    upload = {"a": torch.ones(80), "b": -torch.ones(8, 2)}
    assert protect([SignSGD()], upload, torch.Generator()).num_bytes == 10 + 2 + 2 * 4


def test_zeros_alone_stay() -> None:
    assert not SignSGD().protect_upload({"g": torch.zeros(3)}, torch.Generator()).tensors["g"].any()


def test_no_size_no_signs() -> None:
    upload = {"g": torch.tensor([1.0, math.nan]), "h": torch.tensor([-2.0])}
    done = SignSGD().protect_upload(upload, torch.Generator()).tensors
    assert bool(done["g"].isnan().all())
    assert done["h"].tolist() == [-2.0]
