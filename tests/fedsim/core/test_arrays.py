"""Tensors in Flower's records."""

from io import BytesIO

import numpy as np
import pytest
import torch
from flwr.app import Array, ArrayRecord
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from fedsim.core.arrays import quick, record_of, tensors_of

SHAPES = [(), (1,), (0,), (3, 0), (2, 3), (4, 1, 5, 5)]
TYPES = [torch.float32, torch.float64, torch.float16, torch.int64, torch.int8, torch.bool]


def made(shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    return (torch.randn(shape, generator=torch.Generator().manual_seed(0)) * 3).to(dtype)


def with_header(text: str, values: bytes = b"") -> Array:
    """Return an array whose header is a given text."""
    header = text.encode("latin1")
    size = len(header).to_bytes(2, "little")
    return Array("float32", (2,), "numpy.ndarray", b"\x93NUMPY\x01\x00" + size + header + values)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", TYPES, ids=str)
def test_records_are_flowers_own(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    tensors = {"x": made(shape, dtype)}
    ours, theirs = record_of(tensors), ArrayRecord(tensors)
    assert ours["x"] == theirs["x"]
    assert ours["x"].data == theirs["x"].data
    [back] = tensors_of(theirs).values()
    [read] = theirs.to_torch_state_dict().values()
    assert back.dtype == read.dtype == dtype
    assert back.shape == read.shape == shape
    assert torch.equal(back, read)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", TYPES, ids=str)
def test_quick_arrays_are_flowers_own(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    theirs = ArrayRecord({"x": made(shape, dtype)})
    ours = quick(theirs)
    assert ours["x"].data == theirs["x"].data
    ours["x"].numpy()[...] = 0  # of a copy
    one, other = ours["x"].numpy(), theirs["x"].numpy()
    assert one.dtype == other.dtype
    assert np.array_equal(one, other)


def test_what_is_no_array_is_refused_by_quick_ones_too() -> None:
    damaged = with_header("{'descr': '<f4', 'fortran_order': False, 'shape': (2,)}", b"1234")
    with pytest.raises(ValueError, match=r"."):
        quick({"x": damaged})["x"].numpy()


@pytest.mark.parametrize(
    "tensor",
    [
        made((4, 6), torch.float32)[:, ::2],
        made((4, 6), torch.float32).T,
        made((3,), torch.float32).requires_grad_(),
    ],
    ids=["strided", "transposed", "with a graph"],
)
def test_any_tensor_is_stored_with_its_values(tensor: Tensor) -> None:
    assert torch.equal(tensors_of(record_of({"x": tensor}))["x"], tensor)


def test_what_is_read_is_a_copy() -> None:
    record = record_of({"x": torch.ones(3)})
    tensors_of(record)["x"].zero_()
    assert torch.equal(tensors_of(record)["x"], torch.ones(3))


def test_an_array_in_the_order_of_fortran_is_read() -> None:
    values = np.asfortranarray(np.arange(6.0).reshape(2, 3))
    record = ArrayRecord({"x": Array(values)})
    assert np.array_equal(tensors_of(record)["x"].numpy(), values)


def test_a_second_version_of_the_format_is_read() -> None:
    whole, values = BytesIO(), np.arange(6.0).reshape(2, 3)
    np.lib.format.write_array(whole, values, version=(2, 0))
    record = ArrayRecord({"x": Array("float64", (2, 3), "numpy.ndarray", whole.getvalue())})
    assert np.array_equal(tensors_of(record)["x"].numpy(), values)


PAIR = "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }\n"
HOSTILE = {
    "empty": Array("float32", (2,), "numpy.ndarray", b""),
    "cut": Array("float32", (2,), "numpy.ndarray", Array(np.ones(2, "f4")).data[:-1]),
    "a header cut": Array("float32", (2,), "numpy.ndarray", Array(np.ones(2, "f4")).data[:20]),
    "code": with_header("__import__('os')\n"),
    "nested": with_header("(" * 9000),
    "objects": with_header(PAIR.replace("<f4", "|O"), bytes(16)),
    "huge": with_header(PAIR.replace("(2,)", "(10**12,)")),
    "large": with_header(PAIR.replace("(2,)", f"({2**40},)"), bytes(8)),
    "negative": with_header(PAIR.replace("(2,)", "(-1,)")),
    "two negatives": with_header(PAIR.replace("(2,)", "(-1, -2)"), bytes(8)),
    "of no size": with_header(PAIR.replace("<f4", "|V0")),
    "characters": with_header(PAIR.replace("<f4", "<U1"), bytes(8)),
    "other order": with_header(PAIR.replace("<f4", ">f4"), bytes(8)),
    "other serialisation": Array("float32", (2,), "pickle", b"x"),
}


@pytest.mark.parametrize("array", HOSTILE.values(), ids=HOSTILE)
def test_damaged_arrays_raise_what_flower_raises(array: Array) -> None:
    record = ArrayRecord({"x": array})
    with pytest.raises(Exception) as theirs:  # noqa: PT011  (of any kind)
        record.to_torch_state_dict()
    with pytest.raises(type(theirs.value)):
        tensors_of(record)


def test_more_bytes_than_the_header_tells_are_ignored_as_flower_does() -> None:
    array = Array("float32", (2,), "numpy.ndarray", Array(np.ones(2, "f4")).data + b"more")
    assert torch.equal(tensors_of(ArrayRecord({"x": array}))["x"], torch.ones(2))


@given(st.binary(max_size=200), st.integers(0, 140))
def test_no_bytes_give_other_values_than_flower(noise: bytes, at: int) -> None:
    good = Array(np.ones((2, 3), "f4")).data
    array = Array("float32", (2, 3), "numpy.ndarray", good[:at] + noise + good[at + len(noise) :])
    record = ArrayRecord({"x": array})
    try:
        theirs = record.to_torch_state_dict()["x"]
    except Exception as error:
        with pytest.raises(type(error)):
            tensors_of(record)
        return
    ours = tensors_of(record)["x"]
    assert ours.dtype == theirs.dtype
    assert torch.equal(ours.nan_to_num(), theirs.nan_to_num())
