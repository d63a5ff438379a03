"""Fields of a scenario that hold a registered thing with its parameters.

In TOML such a field is a name, or a table of the name and the parameters::

    attack = "dlg"
    attack = { name = "dlg", evaluations = 600 }
"""

import dataclasses
from typing import Any

from pydantic import BeforeValidator, PlainSerializer, ValidationError
from pydantic_core import PydanticCustomError

from fedsim.core.checked import is_code_only
from fedsim.core.errors import FedsimError, UnknownNameError, closest
from fedsim.core.registry import Registry


class NestedError(ValueError):
    """Problems inside a registered thing's parameters, kept with their places."""

    def __init__(self, error: ValidationError) -> None:
        super().__init__(str(error))
        self.error = error


def refuse_unknown(keys: set[str], valid: set[str], owner: str) -> None:
    """Raise for the first key that is not a valid one, with the nearest that is.

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

    Fields that are `CodeOnly` are left out.
    """
    return {f.name: f for f in dataclasses.fields(cls) if not is_code_only(cls, f.name)}


def named(registry: Registry) -> tuple[BeforeValidator, PlainSerializer]:
    """Return the annotations that make a field hold a thing of this registry."""

    def build(value: Any) -> Any:
        if isinstance(value, str):
            value = {"name": value}
        if registry.holds(value):
            return value
        name = value.get("name") if isinstance(value, dict) else None
        if not isinstance(name, str):
            raise PydanticCustomError(
                "no_name",
                "expected the name of one {kind}, or a table with a name and parameters",
                {"kind": registry.kind},
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
        except (FedsimError, RuntimeError) as error:  # such as a path in nobody's home
            raise ValueError(str(error)) from None

    def dump(thing: Any) -> dict[str, Any]:
        parameters = {name: getattr(thing, name) for name in parameters_of(type(thing))}
        given = {k: v for k, v in parameters.items() if v is not None}
        return {"name": registry.name_of(thing), **given}

    return BeforeValidator(build), PlainSerializer(dump)
