"""Changes to single values of a scenario, by dotted path."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from fedsim.core.checked import Parameters
from fedsim.core.errors import ScenarioError
from fedsim.core.parameters import table_of
from fedsim.core.toml import parse_toml

Override = str | tuple[str, Any]
"""``key=value`` as on the command line, or a key and its value."""


def override(raw: dict[str, Any], change: Override) -> None:
    """Change one value of a scenario that has not been validated yet.

    Args:
        raw: the scenario as plain tables; modified.
        change: the change; see ``Scenario.from_toml``.

    Raises:
        ScenarioError: the key does not exist.
    """
    key, value = _parsed(change) if isinstance(change, str) else change
    text = change if isinstance(change, str) else f"{key}={value!r}"
    *path, last = key.split(".")
    place: Any = raw
    for step in path:
        place = _step_into(place, step, text)
    if isinstance(place, list):
        place[_list_index(place, last, text)] = value
    else:
        place[last] = value


def tables(value: Any) -> Any:
    """Return a copy of nested tables and lists that shares the objects of the original.

    A section of a scenario becomes a table of the explicitly given values.
    """
    if isinstance(value, BaseModel):
        value = {key: getattr(value, key) for key in value.model_fields_set}
    if isinstance(value, Mapping):
        return {key: tables(part) for key, part in value.items()}
    return [tables(part) for part in value] if isinstance(value, list | tuple) else value


def plain(value: Any) -> Any:
    """Return nested tables in which each registered object is replaced by its table.

    Raises:
        ScenarioError: an object has a value that a table cannot hold.
    """
    if isinstance(value, Parameters):
        value = table_of(value)
    if isinstance(value, dict):
        return {key: plain(part) for key, part in value.items()}
    if isinstance(value, Path):
        return str(value)
    return [plain(part) for part in value] if isinstance(value, list | tuple) else value


def _parsed(text: str) -> tuple[str, Any]:
    key, equals, given = text.partition("=")
    if not equals or not key.strip():
        raise ScenarioError(f"--set {text!r}: expected key=value, as in federation.rounds=3")
    try:
        return key.strip(), parse_toml(f"value = {given}")["value"]
    except (ValueError, RecursionError):
        return key.strip(), given.strip()


def _step_into(place: Any, step: str, override: str) -> Any:
    key: int | str = step
    if isinstance(place, list):
        key = _list_index(place, step, override)
    else:
        place.setdefault(step, {})
    inner = place[key]
    if isinstance(inner, str):  # a bare name is short for a table with that name
        inner = place[key] = {"name": inner}
    if isinstance(inner, Parameters):
        inner = place[key] = table_of(inner)
    if not isinstance(inner, dict | list):
        raise ScenarioError(f"--set {override!r}: {step!r} is a single value without keys")
    return inner


def _list_index(place: list[Any], step: str, override: str) -> int:
    if not step.isdecimal() or int(step) >= len(place):
        raise ScenarioError(
            f"--set {override!r}: expected a number from 0 to {len(place) - 1} in place of {step!r}"
        )
    return int(step)
