"""Data sets of several groups of clients as one."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from fedsim.core.errors import DataError
from fedsim.core.targets import Targets
from fedsim.data import Dataset, Split, TextDataset
from fedsim.data.joined import joined
from fedsim.data.tokens import Texts


def pictures(value: int, classes: tuple[str, ...], side: int = 4) -> Dataset:
    def split(count: int) -> Split:
        images = torch.full((count, 1, side, side), value, dtype=torch.uint8)
        return Split(images, torch.arange(count) % len(classes))

    return Dataset(f"set {value}", split(4), split(2), classes)


NAMED = pictures(1, ("cat", "dog", "owl"))


def test_training_and_test_parts_follow_each_other() -> None:
    found: Any = joined({"a": NAMED, "b": pictures(2, ("cat", "dog", "owl"))})
    assert found.train.images[:, 0, 0, 0].tolist() == [1] * 4 + [2] * 4
    assert found.test.images[:, 0, 0, 0].tolist() == [1] * 2 + [2] * 2
    assert found.train.labels.tolist() == [0, 1, 2, 0] * 2
    assert found.name == "set 1 and set 2"


def test_numbers_take_the_names_of_the_others() -> None:
    found = joined({"a": pictures(2, ("0", "1")), "b": NAMED})
    assert found.classes == NAMED.classes


def test_other_targets_are_joined_too() -> None:
    def told(rows: torch.Tensor) -> Dataset:
        split = Split.of(torch.zeros(2, 1, 2, 2, dtype=torch.uint8), Targets.of_rows(rows))
        return Dataset("x", split, split, ("0", "1"))

    found: Any = joined({"a": told(torch.eye(2)), "b": told(1 - torch.eye(2))})
    assert found.train.targets.rows.tolist() == [[1, 0], [0, 1], [0, 1], [1, 0]]
    with pytest.raises(DataError, match="2 labels, 'b' has 2 numbers"):
        joined({"a": told(torch.eye(2)), "b": told(torch.eye(2) / 2)})


TEXTS = TextDataset("x", Texts(("one", "two"), (0, 1)), Texts(("three",), (1,)), ("bad", "good"))


def test_texts() -> None:
    found = joined({"a": TEXTS, "b": replace(TEXTS, train=Texts(("four",), (0,)))})
    assert found.train == Texts(("one", "two", "four"), (0, 1, 0))
    assert found.test == Texts(("three", "three"), (1, 1))


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        (pictures(2, ("cat", "dog", "fox")), "'a' has cat, dog, owl, 'b' has cat, dog, fox"),
        (pictures(2, ("0", "1", "2", "3")), "differ in their classes"),
        (pictures(2, ("cat", "dog", "owl"), side=5), r"'a' has \(1, 4, 4\), 'b' has \(1, 5, 5\)"),
        (replace(TEXTS, classes=NAMED.classes), "differ in the kind of data"),
    ],
)
def test_data_sets_that_do_not_go_together(other: Any, expected: str) -> None:
    with pytest.raises(DataError, match=expected):
        joined({"a": NAMED, "b": other})
