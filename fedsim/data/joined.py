"""Data sets of several groups of clients as one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import reduce

import torch

from fedsim.core.errors import DataError
from fedsim.core.targets import Targets
from fedsim.data.tokens import TextDataset, Texts
from fedsim.data.types import Dataset, Split

Source = Dataset | TextDataset


def joined(named: Mapping[str, Source]) -> Source:
    """Return data sets as one, their training parts, and their test parts, one after the other.

    Args:
        named: the data set of each group, by a name for messages. Classes have the same names, or
            numbers, which take the names of the others.

    Raises:
        DataError: they differ in the shape of their pictures, in their classes or other targets,
            or in kind.
    """
    if len(named) == 1:
        return next(iter(named.values()))
    (first, one), *others = named.items()
    for name, other in others:
        _check(first, one, name, other)
    classes = _agreed_classes(named)
    return reduce(_both, (replace(each, classes=classes) for each in named.values()))


def _agreed_classes(named: Mapping[str, Source]) -> tuple[str, ...]:
    own = {name: each.classes for name, each in named.items()}
    told = {name: classes for name, classes in own.items() if not _are_numbers(classes)}
    chosen_by = next(iter(told), max(own, key=lambda name: len(own[name])))
    chosen = own[chosen_by]
    for name, classes in own.items():
        if classes != chosen and (name in told or len(classes) > len(chosen)):
            raise DataError(
                f"clients: the data sets of the groups differ in their classes: {chosen_by!r} has "
                f"{_listed(chosen)}, {name!r} has {_listed(classes)}; expected the same, in the "
                "same order"
            )
    return chosen


def _check(first: str, one: Source, name: str, other: Source) -> None:
    if isinstance(one, Dataset) and isinstance(other, Dataset):
        if one.image_shape != other.image_shape:
            raise DataError(
                f"clients: the data sets of the groups differ in the shape of their pictures: "
                f"{first!r} has {one.image_shape}, {name!r} has {other.image_shape} (channels, "
                "height, width); resize one of them"
            )
        if _heads(one) != _heads(other):
            raise DataError(
                f"clients: the data sets of the groups differ in their targets: {first!r} has "
                f"{_heads(one)}, {name!r} has {_heads(other)}; expected the same"
            )
    elif type(one) is not type(other):
        raise DataError(f"clients: the groups {first!r} and {name!r} differ in the kind of data")


def _both(one: Source, other: Source) -> Source:
    name = one.name if one.name == other.name else f"{one.name} and {other.name}"
    if isinstance(one, Dataset) and isinstance(other, Dataset):
        train, test = _splits(one.train, other.train), _splits(one.test, other.test)
        return Dataset(name, train, test, one.classes)
    if isinstance(one, TextDataset) and isinstance(other, TextDataset):
        texts = _texts(one.train, other.train), _texts(one.test, other.test)
        return TextDataset(name, *texts, one.classes)
    raise DataError(f"a data set of type {type(one).__name__} cannot be joined with others")


def _splits(one: Split, other: Split) -> Split:
    images = torch.cat([one.images, other.images])
    if one.targets is None or other.targets is None:
        return Split(images, torch.cat([one.labels, other.labels]))
    rows = torch.cat([one.targets.rows, other.targets.rows])
    return Split.of(images, Targets(rows, one.targets.heads))


def _texts(one: Texts, other: Texts) -> Texts:
    return Texts((*one.texts, *other.texts), (*one.labels, *other.labels))


def _heads(dataset: Dataset) -> str:
    if dataset.targets is None:
        return "classes"
    return ", ".join(f"{head.width} {head.task}" for head in dataset.targets.heads)


def _are_numbers(classes: tuple[str, ...]) -> bool:
    return classes == tuple(map(str, range(len(classes))))


def _listed(classes: tuple[str, ...]) -> str:
    return ", ".join(classes[:4]) + (f", ... ({len(classes)})" if len(classes) > 4 else "")
