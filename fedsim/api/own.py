"""Modules and data sets of one's own in a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from fedsim.core.checked import Parameters
from fedsim.core.environment import prepare
from fedsim.core.errors import RunError, closest

NAME = "own"
"""Registered name of what `fedsim.run` was given."""


@dataclass(frozen=True)
class OwnParts:
    """Changes to a scenario for what a caller has given.

    Attributes:
        changes: keys of the scenario and their values.
        registered: whether any of them exists only in this process.
    """

    changes: Mapping[str, Any]
    registered: bool


def own_parts(
    model: Any,
    data: Any,
    loss: Any = None,
    *,
    dropout: bool = False,
    groups: Mapping[int, Any] | None = None,
) -> OwnParts:
    """Return the changes for a model, data and loss that are a scenario's, or objects of one's own.

    Objects of one's own are registered in this process under the name `NAME`.

    Args:
        model: a module or a function that returns one; or as in a scenario; or None.
        data: a data set, or a pair of them for training and testing; or as in a scenario; or None.
        loss: a function of outputs and rows of targets; or as in a scenario; or None.
        groups: data of client groups alone, like ``data``, by the position of the group.
        dropout: whether dropout draws in a module of one's own.
    """
    changes: dict[str, Any] = {}
    registered = False
    if model is not None:
        changes["model"] = model
    if data is not None:
        changes["data"] = data
    if model is not None and not _of_scenario(model):
        prepare()
        from fedsim.models.own import register_model  # noqa: PLC0415  (loads torch)

        changes["model"] = register_model(NAME, model)(dropout=dropout)
        registered = True
    if data is not None and not _of_scenario(data):
        changes.pop("data")
        changes["data.dataset"] = _registered_data(NAME, data)
        registered = True
    for position, each in (groups or {}).items():
        key = f"clients.{position}.dataset"
        changes[key] = each
        if not _of_scenario(each):
            changes[key] = _registered_data(f"{NAME}-{position}", each)
            registered = True
    if loss is not None:
        changes["federation.loss"] = loss
    if loss is not None and not _of_scenario(loss):
        prepare()
        from fedsim.models.losses import register_loss  # noqa: PLC0415  (loads torch)

        changes["federation.loss"] = register_loss(NAME, loss)()
        registered = True
    if registered:
        from fedsim.clients.site import site_of  # noqa: PLC0415  (loads torch)

        site_of.cache_clear()  # the same name may have meant something else before
    return OwnParts(changes, registered)


def _registered_data(name: str, data: Any) -> Any:
    """Register a data set, or a pair of them for training and testing, and return its source."""
    prepare()
    from fedsim.data.own import register_data  # noqa: PLC0415  (loads torch)

    train, test = data if isinstance(data, tuple) else (data, None)
    return register_data(name, train, test)()


def positions(data: Mapping[str, Any], groups: Sequence[str]) -> dict[int, Any]:
    """Return the data of client groups by the position of the group.

    Args:
        data: by the name of the group.
        groups: names of all groups, in order.

    Raises:
        RunError: there is no such group.
    """
    for name in data:
        if name not in groups:
            raise RunError(
                f"group_data: no client group is named {name!r}: {closest(name, groups)}"
            )
    return {groups.index(name): each for name, each in data.items()}


def _of_scenario(value: Any) -> bool:
    return isinstance(value, str | Mapping | Parameters | BaseModel)
