"""Reading replies: whatever is wrong with one becomes its problem, never an exception."""

import io
import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from flwr.app import (
    Array,
    ArrayRecord,
    ConfigRecord,
    Error,
    Message,
    MetricRecord,
    RecordDict,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from fedsim.core.text import MAX_SHOWN
from fedsim.server.uploads import MAX_EXAMPLES, Upload, digest, read_upload
from tests.server.wire import reply_of, same, train_message

SHAPES = {"w": (2, 3), "n": ()}
GOOD = {"w": torch.arange(6.0).reshape(2, 3), "n": torch.tensor(4)}


def npy(array: np.ndarray, pickled: bool = False) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=pickled)
    return buffer.getvalue()


def npz() -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, w=np.zeros((2, 3)))
    return buffer.getvalue()


def bomb() -> bytes:
    """Return a header that promises an array of 400 TB."""
    buffer = io.BytesIO()
    header = {"descr": "<f4", "fortran_order": False, "shape": (10**14,)}
    np.lib.format.write_array_header_1_0(buffer, header)
    return buffer.getvalue()


def raw(data: bytes, stype: str = "numpy.ndarray") -> Message:
    """Return a reply whose first tensor is these bytes, which claim to be of the right shape."""
    record = ArrayRecord(GOOD)
    record["w"] = Array("float32", (2, 3), stype, data)
    return reply_of(record)


def reply(**records: ArrayRecord | MetricRecord | ConfigRecord) -> Message:
    return Message(RecordDict(dict(records)), reply_to=train_message({}))


def changed(**arrays: object) -> Message:
    return reply_of(ArrayRecord({k: Array(np.asarray(v)) for k, v in {**GOOD, **arrays}.items()}))


EXAMPLES = MetricRecord({"num-examples": 1})

UNUSABLE: dict[str, tuple[Callable[[], Message], str]] = {
    "error": (
        lambda: Message(Error(code=2, reason="out of memory"), reply_to=train_message({})),
        "the client failed: out of memory",
    ),
    "error without a reason": (
        lambda: Message(Error(code=0), reply_to=train_message({})),
        "the client failed",
    ),
    "nan": (lambda: changed(w=np.full((2, 3), np.nan)), "'w' holds NaN"),
    "infinity": (lambda: changed(w=np.full((2, 3), -np.inf)), "'w' holds NaN or infinite"),
    "one nan": (lambda: changed(w=[[0, 0, 0], [0, 0, math.nan]]), "'w' holds NaN"),
    "missing": (lambda: reply_of({"w": GOOD["w"]}), "the tensor 'n' is missing"),
    "surplus": (lambda: changed(extra=np.zeros(1)), "there is a tensor 'extra'"),
    "no tensors": (lambda: reply_of({}), "the tensor 'n' is missing"),
    "shape": (lambda: changed(w=np.zeros((3, 2))), "'w' has shape (3, 2), expected (2, 3)"),
    "more dimensions": (lambda: changed(n=np.zeros(1)), "'n' has shape (1,), expected ()"),
    "complex": (lambda: changed(w=np.ones((2, 3), np.complex64)), "'w' is of torch.complex64"),
    "text": (lambda: changed(w=np.full((2, 3), "x")), "the arrays cannot be decoded"),
    "dates": (lambda: changed(w=np.zeros((2, 3), "M8[s]")), "the arrays cannot be decoded"),
    "big-endian": (lambda: changed(w=np.zeros((2, 3), ">f4")), "the arrays cannot be decoded"),
    "garbage": (lambda: raw(b"garbage"), "the arrays cannot be decoded"),
    "no bytes": (lambda: raw(b""), "the arrays cannot be decoded"),
    "cut off": (lambda: raw(npy(np.zeros((2, 3)))[:-3]), "the arrays cannot be decoded"),
    "archive": (lambda: raw(npz()), "the arrays cannot be decoded"),
    "bomb": (lambda: raw(bomb()), "the arrays cannot be decoded"),
    "unknown encoding": (lambda: raw(npy(np.zeros((2, 3))), "zip"), "the arrays cannot be decoded"),
    "lying shape": (lambda: raw(npy(np.zeros(7))), "'w' has shape (7,), expected (2, 3)"),
    "two records": (
        lambda: reply(a=ArrayRecord(GOOD), b=ArrayRecord(GOOD), m=EXAMPLES),
        "expected one record of arrays, found 2",
    ),
    "no record": (lambda: reply(m=EXAMPLES), "expected one record of arrays, found 0"),
    "no metrics": (lambda: reply(a=ArrayRecord(GOOD)), "expected one record of metrics, found 0"),
    "two metrics": (
        lambda: reply(a=ArrayRecord(GOOD), m=EXAMPLES, n=EXAMPLES),
        "expected one record of metrics, found 2",
    ),
    "no examples": (lambda: reply(a=ArrayRecord(GOOD), m=MetricRecord({})), "num-examples is nan"),
    "zero examples": (lambda: reply_of(GOOD, examples=0), "num-examples is 0"),
    "negative examples": (lambda: reply_of(GOOD, examples=-3), "num-examples is -3"),
    "nan examples": (lambda: reply_of(GOOD, examples=math.nan), "num-examples is nan"),
    "infinite examples": (lambda: reply_of(GOOD, examples=math.inf), "num-examples is inf"),
    "too many examples": (lambda: reply_of(GOOD, examples=2 * MAX_EXAMPLES), "num-examples is"),
    "huge examples": (lambda: reply_of(GOOD, examples=10**400), "the reply cannot be read"),
    "list of examples": (
        lambda: reply(a=ArrayRecord(GOOD), m=MetricRecord({"num-examples": [1, 2]})),
        "num-examples is nan",
    ),
    "huge metric": (lambda: reply_of(GOOD, loss=-(10**400)), "the reply cannot be read"),
    "huge measure": (
        lambda: reply(a=ArrayRecord(GOOD), m=EXAMPLES, defenses=ConfigRecord({"0.x": 10**400})),
        "the reply cannot be read",
    ),
}


@pytest.mark.parametrize(("make", "problem"), UNUSABLE.values(), ids=UNUSABLE)
def test_whatever_is_wrong_becomes_the_problem(make: Callable[[], Message], problem: str) -> None:
    upload = read_upload(make(), 5, SHAPES)
    assert upload.problem is not None
    assert problem in upload.problem
    assert upload.partition == 5
    assert (upload.arrays, upload.metrics, upload.did) == ({}, {}, {})


def test_a_pickle_is_not_opened() -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, ...]:
            return (pytest.fail, ("a pickle of a client was run",))

    upload = read_upload(raw(npy(np.array([Evil()], dtype=object), pickled=True)), 0, SHAPES)
    assert upload.problem is not None
    assert "allow_pickle=False" in upload.problem


def test_a_long_reason_is_cut() -> None:
    error = Error(code=2, reason="x" * 10_000)
    upload = read_upload(Message(error, reply_to=train_message({})), 0, SHAPES)
    assert upload.problem is not None
    assert len(upload.problem) == MAX_SHOWN


def test_a_good_reply_is_read_whole() -> None:
    did = ConfigRecord({"0.pruning.kept_fraction": 0.5, "1.x.count": 3, "note": "hello"})
    metrics = MetricRecord({"num-examples": 4, "loss": 0.5, "list": [1.0]})
    upload = read_upload(reply(a=ArrayRecord(GOOD), m=metrics, defenses=did), 2, SHAPES)
    assert upload.problem is None
    assert same(upload.arrays, GOOD)
    assert upload.metrics == {"num-examples": 4.0, "loss": 0.5}
    assert upload.did == {"0.pruning.kept_fraction": 0.5, "1.x.count": 3.0}


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "i1", "u2", "i8", "?"])
def test_real_numbers_of_any_precision_are_usable(dtype: str) -> None:
    assert read_upload(changed(w=np.ones((2, 3), dtype)), 0, SHAPES).problem is None


def test_reading_leaves_the_reply_alone() -> None:
    message = reply_of(GOOD)
    upload = read_upload(message, 0, SHAPES)
    upload.arrays["w"].zero_()
    assert same(read_upload(message, 0, SHAPES).arrays, GOOD)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200) | st.binary(max_size=60).map(lambda b: npy(np.zeros(3))[:70] + b))
def test_no_bytes_raise(data: bytes) -> None:
    assert read_upload(raw(data), 0, SHAPES).problem is not None


def test_digest_tells_uploads_apart() -> None:
    upload = Upload(0, GOOD)
    others = [
        {**GOOD, "w": GOOD["w"] + 1e-6},
        {**GOOD, "w": GOOD["w"].reshape(3, 2)},
        {**GOOD, "w": GOOD["w"].double()},
        {"v": GOOD["w"], "n": GOOD["n"]},
        {"w": GOOD["w"]},
        {},
    ]
    digests = {digest(Upload(0, arrays)) for arrays in others}
    assert len(digests) == len(others)
    assert digest(upload) not in digests


def test_digest_is_of_the_tensors_alone() -> None:
    strided = {"n": GOOD["n"], "w": GOOD["w"].T.contiguous().T}
    assert not strided["w"].is_contiguous()
    other = replace(Upload(3, strided), metrics={"loss": 1.0})
    assert digest(other) == digest(Upload(0, GOOD))
