"""Targets of a data set of one's own, as its items give them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812  (the name that everybody knows)
from torch import Tensor

from fedsim.core.errors import DataError
from fedsim.core.targets import Head, Targets
from fedsim.core.tasks import Task

Parts = tuple[Tensor, ...]
"""Target of one example: for each head a class ``()`` int64, or a vector ``(K,)`` float32."""


def target_of(value: Any, first: Any = None) -> Parts:
    """Return the target of an example.

    Args:
        value: a whole number, which is a class; a floating number; a list, array or tensor of
            numbers; or a tuple or mapping of these, one for each head. A list of a single whole
            number is a class, too.
        first: the first example's mapping, whose keys and order all others have.

    Raises:
        ValueError: it is something else.
    """
    if isinstance(value, Mapping):
        keys = list(value) if first is None else list(first)
        if value.keys() != set(keys):
            raise ValueError(f"a target with the heads {list(value)}: expected {keys}")
        return tuple(_part(value[key]) for key in keys)
    return tuple(map(_part, value)) if isinstance(value, tuple) else (_part(value),)


def assembled(splits: Sequence[Sequence[Parts]]) -> list[Tensor | Targets]:
    """Return the classes ``(N,)`` or the targets of each split, which have the same heads.

    A vector whose entries are 0 or 1 in all examples has labels; others have numbers.

    Args:
        splits: the targets of the examples of each split.

    Raises:
        DataError: examples differ in the form of their targets.
    """
    everything = [parts for split in splits for parts in split]
    forms = {tuple(tuple(part.shape) for part in parts) for parts in everything}
    if len(forms) > 1:
        raise DataError(
            f"the targets have the forms {sorted(forms)[:3]} (shapes of their parts): expected one"
        )
    columns = [torch.stack(column) for column in zip(*everything, strict=True)]
    sizes = [len(split) for split in splits]
    if len(columns) == 1 and columns[0].ndim == 1:
        return [*torch.split(columns[0], sizes)]
    heads = tuple(map(_head, columns))
    rows = torch.cat([_rows(c, h) for c, h in zip(columns, heads, strict=True)], dim=1)
    return [Targets(part, heads) for part in torch.split(rows, sizes)]


def _part(value: Any) -> Tensor:
    expected = "expected a class (a whole number), a number, or a list of numbers"
    try:
        found = torch.as_tensor(value)
    except (TypeError, ValueError, RuntimeError):
        raise ValueError(f"a target of type {type(value).__name__}: {expected}") from None
    if found.numel() == 1 and not found.is_floating_point():
        return found.reshape(()).long()
    if found.ndim > 1 or not found.numel():
        raise ValueError(f"a target of shape {tuple(found.shape)}: {expected}")
    if not bool(found.isfinite().all()):
        raise ValueError("a target that is not finite")
    return found.reshape(-1).float()


def _head(column: Tensor) -> Head:
    if column.ndim > 1:
        return Targets.of_rows(column).heads[0]
    if int(column.min()) < 0:
        raise DataError(f"the class {int(column.min())}: expected at least 0")
    return Head(Task.CLASSIFY, max(2, int(column.max()) + 1))


def _rows(column: Tensor, head: Head) -> Tensor:
    return F.one_hot(column, head.width).float() if column.ndim == 1 else column
