"""Replies of clients that are not fedsim's."""

import pytest
import torch
from flwr.app import ArrayRecord, Message, MetricRecord, RecordDict
from torch import Tensor

from fedsim.core.errors import UploadError
from fedsim.server.foreign import named_as, read_foreign, reported_partition
from tests.server.wire import reply_of, train_message

SHAPES = {"b.weight": (3, 2), "b.bias": (3,), "a.weight": (2,), "count": ()}


def state() -> dict[str, Tensor]:
    return {name: torch.ones(shape) for name, shape in SHAPES.items()}


def test_it_takes_what_the_model_has() -> None:
    upload = read_foreign(reply_of({**state(), "more": torch.ones(1)}, loss=0.5), 4, SHAPES)
    assert upload.problem is None
    assert upload.partition == 4
    assert set(upload.arrays) == set(SHAPES)
    assert upload.metrics == {"upload-bytes": 52.0, "num-examples": 1.0, "loss": 0.5}


def test_a_reply_needs_neither_metrics_nor_all_tensors() -> None:
    arrays = {"b.bias": torch.ones(3)}
    content = RecordDict({"arrays": ArrayRecord(arrays)})
    upload = read_foreign(Message(content, reply_to=train_message({})), 0, SHAPES)
    assert upload.problem is None
    assert set(upload.arrays) == {"b.bias"}


def test_the_record_with_the_models_names_is_read() -> None:
    both = {"other": ArrayRecord({"x": torch.ones(9)}), "arrays": ArrayRecord(state())}
    content = RecordDict({**both, "metrics": MetricRecord({"num-examples": 3})})
    upload = read_foreign(Message(content, reply_to=train_message({})), 0, SHAPES)
    assert set(upload.arrays) == set(SHAPES)


def test_nameless_tensors_are_in_the_order_of_the_state() -> None:
    arrays = {str(i): tensor for i, tensor in enumerate(state().values())}
    assert list(named_as(arrays, SHAPES)) == list(SHAPES)


@pytest.mark.parametrize("names", [sorted(SHAPES), list(reversed(SHAPES))])
def test_another_order_is_named(names: list[str]) -> None:
    arrays = {str(i): torch.ones(SHAPES[name]) for i, name in enumerate(names)}
    with pytest.raises(UploadError, match=r"sorted by name|reversed"):
        named_as(arrays, SHAPES)


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"x": torch.ones(3)}, "are not those of the model"),
        ({"b.bias": torch.ones(4)}, "has shape (4,), expected (3,)"),
        ({"b.bias": torch.tensor([1.0, float("nan"), 0.0])}, "NaN"),
        ({}, "are not those of the model"),
    ],
)
def test_other_tensors_are_a_problem(arrays: dict[str, Tensor], said: str) -> None:
    upload = read_foreign(reply_of(arrays), 0, SHAPES)
    assert not upload.arrays
    assert said in str(upload.problem)


def test_a_partition_can_be_reported() -> None:
    named = {"partition-id": 3.0}
    assert reported_partition(reply_of(state(), **named)) == 3
    assert reported_partition(reply_of(state())) is None
    assert reported_partition(reply_of(state(), **{"partition-id": -1.0})) is None
