"""Conversion of scenarios to TOML, and formatting of validation errors."""

from __future__ import annotations

from typing import Any

import tomli_w
from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticSerializationError

from fedsim.core.errors import ScenarioError
from fedsim.core.parameters import NestedError


def explain(error: ValidationError, source: str, outer: tuple[Any, ...] = ()) -> list[str]:
    """Return the problems of a scenario, a line for each: source, key and reason."""
    lines = []
    for problem in error.errors(include_url=False):
        place = (*outer, *problem["loc"])
        cause = problem.get("ctx", {}).get("error")
        if isinstance(cause, NestedError):
            lines += explain(cause.error, source, place)
            continue
        message = problem["msg"].removeprefix("Value error, ")
        given = problem["type"] != "missing" and not isinstance(problem["input"], dict | list)
        shown = f" (got {problem['input']!r})" if given else ""
        key = ".".join(str(p) for p in place if p not in ("literal['all']", "list[str]"))
        lines.append(f"{source}: {key + ': ' if key else ''}{message}{shown}")
    return list(dict.fromkeys(lines))


def toml_of(section: BaseModel) -> str:
    """Return a section as TOML, without what is not set.

    Raises:
        ScenarioError: it holds a value that TOML does not have.
    """
    try:
        return tomli_w.dumps(_without_none(section.model_dump(mode="json")))
    except (PydanticSerializationError, TypeError) as error:
        raise ScenarioError(f"the scenario cannot be written as TOML: {error}") from None


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_none(v) for k, v in value.items() if v is not None}
    return [_without_none(v) for v in value] if isinstance(value, list) else value
