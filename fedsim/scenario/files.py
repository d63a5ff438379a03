"""Scenario files: bundled ones by name, the user's by path."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from fedsim.core.errors import ScenarioError, closest
from fedsim.core.toml import parse_toml
from fedsim.scenario.overrides import Override
from fedsim.scenario.schema import Scenario

QUICKSTART = "quickstart"


def load_scenario(name_or_path: str, overrides: Sequence[Override] = ()) -> Scenario:
    """Load a bundled scenario by name, or a user's by the path of its TOML file.

    Raises:
        ScenarioError: there is no such scenario, or it is not valid.
    """
    text, source = scenario_text(name_or_path)
    if is_comparison(text):
        raise ScenarioError(f"{source}: this is a comparison; run: fedsim compare {name_or_path}")
    return Scenario.from_toml(text, source, overrides)


def is_comparison(text: str) -> bool:
    """Return whether a TOML text is a comparison: it has a grid."""
    return "grid" in _keys(text)


def is_scenario(text: str) -> bool:
    """Return whether a TOML text is a scenario: its clients are groups, and it has no grid."""
    keys = _keys(text)
    return isinstance(keys.get("clients"), list) and "grid" not in keys


def _keys(text: str) -> dict[str, Any]:
    """Return the tables of a TOML text; none if it is not valid, which its reader tells better."""
    try:
        return parse_toml(text)
    except (ValueError, RecursionError):
        return {}


def scenario_text(name_or_path: str) -> tuple[str, str]:
    """Return the TOML text of a scenario and its name in error messages.

    Raises:
        ScenarioError: there is no such scenario, or it cannot be read.
    """
    hint = closest(name_or_path, bundled())
    if files("fedsim.scenarios").joinpath("comparisons", f"{name_or_path}.toml").is_file():
        hint = f"it is a comparison; run: fedsim compare {name_or_path}"
    return toml_text(name_or_path, bundled(), files("fedsim.scenarios"), "scenario", hint)


def toml_text(
    name_or_path: str, names: Sequence[str], folder: Traversable, kind: str, hint: str
) -> tuple[str, str]:
    """Return the text of a bundled or a user's TOML file, and its name in error messages.

    Args:
        name_or_path: a bundled name, or a path.
        names: names of the bundled files.
        folder: folder of the bundled files.
        kind: noun for the file in error messages.
        hint: remedy if there is no such file.

    Raises:
        ScenarioError: there is no such file, or it cannot be read.
    """
    if name_or_path in names:
        return folder.joinpath(f"{name_or_path}.toml").read_text("utf-8"), name_or_path
    path = Path(name_or_path)
    if not path.is_file():
        raise ScenarioError(
            f"no {kind} {name_or_path!r}: it is neither a file nor a bundled {kind}; {hint}"
        )
    try:
        return path.read_text("utf-8-sig"), str(path)  # as Notepad writes it
    except (OSError, UnicodeDecodeError) as error:
        raise ScenarioError(f"{path}: cannot be read as text: {error}") from None


def bundled() -> list[str]:
    """Return the names of the scenarios that come with fedsim."""
    names = (f.name for f in files("fedsim.scenarios").iterdir())
    return sorted(n.removesuffix(".toml") for n in names if n.endswith(".toml"))
