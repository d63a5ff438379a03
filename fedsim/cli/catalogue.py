"""Listings and descriptions of scenarios, comparisons and registered classes."""

import inspect
import tomllib
from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin

from fedsim.core.errors import UnknownNameError, closest
from fedsim.core.parameters import parameters_of
from fedsim.core.registry import METRICS, REGISTRIES, Registry
from fedsim.scenario import bundled, scenario_text
from fedsim.scenario.comparison import comparison_text, comparisons

SCENARIOS = "scenarios"
COMPARISONS = "comparisons"


def entries(kind: str) -> Iterator[tuple[str, str]]:
    """Yield the name and a one-line summary of each entry of a kind."""
    if kind == SCENARIOS:
        for name in bundled():
            yield name, tomllib.loads(scenario_text(name)[0])["title"]
    elif kind == COMPARISONS:
        for name in comparisons():
            yield name, tomllib.loads(comparison_text(name)[0])["title"]
    else:
        for name in REGISTRIES[kind].names():
            ready = getattr(REGISTRIES[kind].get(name), "available", lambda: True)()
            yield name, REGISTRIES[kind].summary(name) + ("" if ready else " (not installed)")


def describe(name: str) -> str:
    """Return a scenario's text, or the description and parameters of a registered class.

    Raises:
        UnknownNameError: there is no entry with that name.
    """
    if name in bundled():
        return scenario_text(name)[0]
    if name in comparisons():
        return comparison_text(name)[0]
    found = [_describe(r, name) for r in REGISTRIES.values() if name in r.names()]
    if found:
        return "\n\n".join(found)
    known = {n for registry in REGISTRIES.values() for n in registry.names()} | {
        *bundled(),
        *comparisons(),
    }
    raise UnknownNameError(f"nothing is named {name!r}: {closest(name, known)}")


def _describe(registry: Registry, name: str) -> str:
    cls = registry.get(name)
    lines = [f"{registry.kind} {name}", "", inspect.getdoc(cls) or ""]
    if registry is METRICS:
        better = "higher" if cls.higher_is_better else "lower"
        unit = f" in{cls.unit}" if cls.unit.startswith(" ") else f" in {cls.unit}"
        lines += ["", f"for {cls.modality}{unit if cls.unit else ''}: {better} is closer"]
        if not cls.available():
            lines += [f"without figures here, because it needs: {cls.needs or 'more packages'}"]
    parameters = _parameters(cls)
    if parameters:
        lines += ["", "parameters:", *parameters]
    return "\n".join(lines)


def _parameters(cls: type[Any]) -> list[str]:
    described = getattr(cls, "__pydantic_fields__", {})
    lines = []
    for name in parameters_of(cls) if described else ():
        about = described[name]
        default = "required" if about.is_required() else f"default {about.default!r}"
        bounds = ", ".join(_bound(b) for b in about.metadata if _bound(b))
        kind = _kind(about.annotation)
        lines.append(f"  {name} ({kind}{', ' + bounds if bounds else ''}; {default})")
        if about.description:
            lines.append(f"      {about.description}")
    return lines


def _kind(annotation: Any) -> str:
    if get_origin(annotation) is Literal:
        return " or ".join(repr(choice) for choice in get_args(annotation))
    return getattr(annotation, "__name__", str(annotation))


def _bound(constraint: object) -> str:
    for attribute, sign in (("ge", ">="), ("gt", ">"), ("le", "<="), ("lt", "<")):
        if hasattr(constraint, attribute):
            return f"{sign} {getattr(constraint, attribute)}"
    return ""
