"""Targets of a data set of one's own, as its items give them."""

from typing import Any

import numpy as np
import pytest
import torch

from fedsim.core.errors import DataError
from fedsim.core.registry import DATASETS
from fedsim.core.targets import Head, Targets
from fedsim.core.tasks import Task
from fedsim.data import Dataset, Split, load_dataset, register_data
from fedsim.data.targets import assembled, target_of

PICTURE = torch.rand(1, 2, 2)


def rows_of(*values: Any) -> Any:
    [found] = assembled([[target_of(value) for value in values]])
    return found


@pytest.mark.parametrize("value", [2, np.int64(2), torch.tensor(2), np.array([2]), [2]])
def test_a_whole_number_is_a_class(value: Any) -> None:
    assert rows_of(value, 0).tolist() == [2, 0]


@pytest.mark.parametrize(
    ("values", "task", "rows"),
    [
        ([[1, 0], [0, 0]], Task.LABELS, [[1, 0], [0, 0]]),
        ([torch.tensor([True, False])], Task.LABELS, [[1, 0]]),
        ([0.5, 2.0], Task.NUMBERS, [[0.5], [2]]),
        ([np.array([1.0, 0.25])], Task.NUMBERS, [[1, 0.25]]),
        ([[3, 4], [0, 1]], Task.NUMBERS, [[3, 4], [0, 1]]),
        ([(2, 0.5), (0, 1.5)], Task.HEADS, [[0, 0, 1, 0.5], [1, 0, 0, 1.5]]),
        ([{"kind": 1, "signs": [1, 0, 1]}], Task.HEADS, [[0, 1, 1, 0, 1]]),
    ],
)
def test_other_targets_are_rows(values: list[Any], task: Task, rows: list[Any]) -> None:
    found = rows_of(*values)
    assert found.task == task
    assert found.rows.tolist() == rows


@pytest.mark.parametrize(
    ("targets", "expected"),
    [
        (["cat"], "example 0 .* type str: expected a class"),
        ([torch.zeros(2, 2)], r"shape \(2, 2\)"),
        ([[]], "shape"),
        ([float("nan")], "not finite"),
        ([0, [1, 0]], "expected one"),
        ([[1, 0], [1, 0, 0]], "expected one"),
        ([(-1, 0.5)], "class -1"),
    ],
)
def test_targets_that_are_none(targets: list[Any], expected: str) -> None:
    items = [(PICTURE, target) for target in targets]
    with pytest.raises(DataError, match=expected):
        load_dataset(register_data("wrong targets of tests", items, items)())


def test_entries_have_the_names_that_the_data_set_has() -> None:
    class Named(list[Any]):
        classes = ("hat", "bag")

    items = Named([(PICTURE, [1, 0])] * 5)
    found = load_dataset(register_data("named targets of tests", items)())
    assert (found.classes, len(found.train), len(found.test)) == (("hat", "bag"), 4, 1)
    wide = Named([(PICTURE, [1.5, 0, 2])] * 5)
    assert load_dataset(register_data("wide targets of tests", wide)()).classes == ("0", "1", "2")


def test_both_parts_of_a_data_set_have_the_same_targets() -> None:
    images = torch.zeros(2, 1, 2, 2, dtype=torch.uint8)
    bits = Split.of(images, Targets.of_rows(torch.eye(2)))
    numbers = Split.of(images, Targets.of_rows(torch.rand(2, 2)))
    assert Dataset("x", bits, bits, ("a", "b")).targets is bits.targets
    for train, test, names in ((bits, numbers, "ab"), (bits, bits, "abc")):
        with pytest.raises(DataError, match="expected the same targets"):
            Dataset("x", train, test, tuple(names))
    with pytest.raises(DataError, match="expected a row of finite numbers"):
        Split.of(images, Targets(torch.eye(3), (Head(Task.NUMBERS, 3),)))


def test_mappings_have_the_heads_of_the_first_one_in_its_order() -> None:
    first = {"kind": [0, 1], "signs": [1, 1, 0]}
    items = [(PICTURE, first), (PICTURE, {"signs": [1, 0, 0], "kind": [1, 0]})]
    register_data("two-orders", items, items)
    targets = load_dataset(DATASETS.get("two-orders")()).train.targets
    assert targets is not None
    assert targets.rows.tolist() == [[0, 1, 1, 1, 0], [1, 0, 1, 0, 0]]
    with pytest.raises(ValueError, match=r"expected .'kind', 'signs'"):
        target_of({"kind": [0, 1]}, first)
