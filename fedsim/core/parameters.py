"""Fields of a scenario that hold a registered object with its parameters.

In TOML such a field is a name, or a table of the name and the parameters::

    attack = "dlg"
    attack = { name = "dlg", evaluations = 600 }
"""

import dataclasses
from typing import Any

from pydantic import BeforeValidator, PlainSerializer, ValidationError
from pydantic_core import PydanticCustomError

from fedsim.core.checked import Parameters, is_code_only
from fedsim.core.errors import FedsimError, ScenarioError, UnknownNameError, closest
from fedsim.core.registry import REGISTRIES, Registry


class NestedError(ValueError):
    """Validation errors inside a registered object's parameters, with their locations."""

    def __init__(self, error: ValidationError) -> None:
        super().__init__(str(error))
        self.error = error


def refuse_unknown(keys: set[str], valid: set[str], owner: str) -> None:
    """Raise an error for the first invalid key, with the nearest valid one.

    Raises:
        PydanticCustomError: there is an unknown key.
    """
    for key in sorted(keys - valid):
        hint = closest(key, valid) if valid else "it takes no parameters."
        raise PydanticCustomError(
            "unknown_key",
            "unknown key {key} in {owner}: {hint}",
            {"key": repr(key), "owner": owner, "hint": hint},
        )


def parameters_of(cls: type[Any]) -> dict[str, dataclasses.Field[Any]]:
    """Return the parameters that a scenario can give to a registered class, by name.

    Fields that are `CodeOnly` are omitted.
    """
    return {f.name: f for f in dataclasses.fields(cls) if not is_code_only(cls, f.name)}


def table_of(thing: Parameters) -> dict[str, Any]:
    """Return a registered object as a table of a scenario: its name and its parameters.

    Raises:
        ScenarioError: a code-only field does not have its default.
        UnknownNameError: its class is not registered.
    """
    for field in set_by_code(thing):
        raise ScenarioError(not_writable(field, type(thing)))
    holders = [r for r in REGISTRIES.values() if r.holds(thing)]
    if not holders:
        raise UnknownNameError(_unregistered(thing))
    return _table(holders[0], thing)


def set_by_code(thing: object) -> list[str]:
    """Return the names of an object's `CodeOnly` fields that do not have their defaults."""
    cls: type[Any] = type(thing)
    fields = [f.name for f in dataclasses.fields(cls) if is_code_only(cls, f.name)]
    return [name for name in fields if not _is_default(thing, name)]


def not_writable(field: str, cls: type[Any]) -> str:
    """Return the message for a code-only field that cannot be recorded."""
    return (
        f"{field} cannot be written to a scenario, so the run could not be repeated from its "
        f"record; register a subclass of {cls.__name__} with this value as its default, and "
        "use that"
    )


def _is_default(thing: object, name: str) -> bool:
    fields: dict[str, Any] = getattr(type(thing), "__pydantic_fields__", {})
    default, value = fields[name].get_default(call_default_factory=True), getattr(thing, name)
    try:
        return value is default or bool(value == default)
    except (RuntimeError, ValueError):  # tensors compare by element
        return False


def _table(registry: Registry, thing: Any) -> dict[str, Any]:
    parameters = {name: getattr(thing, name) for name in parameters_of(type(thing))}
    given = {k: v for k, v in parameters.items() if v is not None}
    return {"name": registry.name_of(thing), **given}


def _unregistered(thing: object) -> str:
    cls = type(thing).__qualname__
    return f"{cls} is not registered: decorate the class with the registry's register(name)"


@dataclasses.dataclass(frozen=True)
class _Schema:
    """JSON schema of a field that holds an object of a registry: its name, or a table.

    It is made when it is asked for, so that it names what plugins have registered.
    """

    registry: Registry

    def __get_pydantic_json_schema__(self, core: object, handler: object) -> dict[str, Any]:
        names = self.registry.names()
        return {"anyOf": [{"enum": names}, *map(self._table, names)]}

    def _table(self, name: str) -> dict[str, Any]:
        cls = self.registry.get(name)
        fields: dict[str, Any] = getattr(cls, "__pydantic_fields__", {})
        known = {k: {"description": fields[k].description or ""} for k in parameters_of(cls)}
        return {
            "type": "object",
            "description": self.registry.summary(name),
            "properties": {"name": {"const": name}, **known},
            "required": ["name", *(k for k in known if fields[k].is_required())],
            "additionalProperties": False,
        }


OWN = {"model": "model", "data set": "data"}
"""Argument of ``fedsim.run`` for an object of another library, by kind."""


def _own(registry: Registry, value: object) -> str:
    argument = OWN.get(registry.kind)
    if argument is None or isinstance(value, bool | int | float | list | dict):  # as in TOML
        return ""
    return f"; for a {registry.kind} of your own: fedsim.run(scenario, {argument}=...)"


def named(registry: Registry) -> tuple[BeforeValidator, PlainSerializer, _Schema]:
    """Return the annotations of a field that holds an object of this registry."""

    def build(value: Any) -> Any:
        if isinstance(value, str):
            value = {"name": value}
        if registry.holds(value):
            return value
        if isinstance(value, Parameters):
            raise ValueError(f"expected one {registry.kind}; {_unregistered(value)}")
        name = value.get("name") if isinstance(value, dict) else None
        if not isinstance(name, str):
            raise PydanticCustomError(
                "no_name",
                "expected the name of one {kind}, or a table with a name and parameters{own}",
                {"kind": registry.kind, "own": _own(registry, value)},
            )
        try:
            cls = registry.get(name)
        except UnknownNameError as error:
            raise PydanticCustomError("unknown_name", "{text}", {"text": str(error)}) from None
        given = {k: v for k, v in dict(value).items() if k != "name"}
        refuse_unknown(set(given), set(parameters_of(cls)), f"{registry.kind} {name!r}")
        try:
            return cls(**given)
        except ValidationError as error:
            raise NestedError(error) from None
        except (
            FedsimError,
            RuntimeError,
        ) as error:  # such as a path in the home of an unknown user
            raise ValueError(str(error)) from None

    def dump(thing: Any) -> dict[str, Any]:
        return _table(registry, thing)

    return BeforeValidator(build), PlainSerializer(dump), _Schema(registry)
