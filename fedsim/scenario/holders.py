"""Clients that share one data set among themselves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fedsim.core.registry import DATASETS
from fedsim.scenario.sections import ClientGroup, Data


@dataclass(frozen=True)
class Holders:
    """The clients of one or several groups, and the data set that is shared out among them.

    Attributes:
        dataset: source of the data set.
        partition: rule of the sharing out.
        groups: names of the groups.
        clients: the partitions of the clients, in order.
    """

    dataset: Any
    partition: Any
    groups: tuple[str, ...]
    clients: tuple[int, ...]


def holders_of(data: Data, groups: Sequence[ClientGroup]) -> list[Holders]:
    """Return the data sets of all groups, each with its clients.

    Groups with the same data set share it.

    Args:
        data: data set and partition of the groups that name none.
        groups: the groups, in order.

    Raises:
        ValueError: two groups share a data set by different rules.
    """
    found: list[Holders] = []
    first = 0
    for number, group in enumerate(groups):
        own = tuple(range(first, first + group.count))
        first += group.count
        dataset = data.dataset if group.dataset is None else group.dataset
        rule = data.partition if group.partition is None else group.partition
        at = next((i for i, h in enumerate(found) if h.dataset == dataset), None)
        if at is None:
            found.append(Holders(dataset, rule, (group.name,), own))
            continue
        other = found[at]
        if other.partition != rule:
            raise ValueError(
                f"clients.{number}.partition: the group shares its data set "
                f"{DATASETS.name_of(dataset)!r} with {other.groups[0]!r}; expected the same "
                "partition for both"
            )
        groups_, clients = (*other.groups, group.name), (*other.clients, *own)
        found[at] = Holders(dataset, rule, groups_, clients)
    return found
