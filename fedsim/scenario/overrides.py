"""Changes to single values of a scenario, by dotted path."""

from __future__ import annotations

import tomllib
from typing import Any

from fedsim.core.errors import ScenarioError

Override = str | tuple[str, Any]
"""``key=value`` as on the command line, or a key and its value."""


def override(raw: dict[str, Any], change: Override) -> None:
    """Change one value of a scenario that is not checked yet.

    Args:
        raw: the scenario as plain tables; modified.
        change: as for ``Scenario.from_toml``.

    Raises:
        ScenarioError: the key leads nowhere.
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


def _parsed(text: str) -> tuple[str, Any]:
    key, equals, given = text.partition("=")
    if not equals or not key.strip():
        raise ScenarioError(f"--set {text!r}: expected key=value, as in federation.rounds=3")
    try:
        return key.strip(), tomllib.loads(f"value = {given}")["value"]
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
    if not isinstance(inner, dict | list):
        raise ScenarioError(f"--set {override!r}: {step!r} is a single value and holds no keys")
    return inner


def _list_index(place: list[Any], step: str, override: str) -> int:
    if not step.isdecimal() or int(step) >= len(place):
        raise ScenarioError(
            f"--set {override!r}: expected a number from 0 to {len(place) - 1} in place of {step!r}"
        )
    return int(step)
