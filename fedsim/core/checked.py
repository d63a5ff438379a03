"""Checked dataclasses: parameters of the classes that a scenario can name."""

from dataclasses import field
from typing import Annotated, Any, TypeVar, cast, dataclass_transform

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

T = TypeVar("T")
Class = TypeVar("Class", bound=type)

_CONFIG = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, arbitrary_types_allowed=True)
_FIELDS = "__dataclass_fields__"


class _CodeOnly:
    """Marker of a field that only code can set."""


_CODE_ONLY = _CodeOnly()

CodeOnly = Annotated[T, _CODE_ONLY]
"""A field that only code can set, not a scenario: ``CodeOnly[Objective]``."""


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(Field, field))
class Parameters:
    """Base of the classes that a scenario can name; type checkers see its constructor.

    A field is ``Annotated[type, Field(ge=..., le=..., description=...)]``. The decorators
    `checked` and `Registry.register` make the constructor: it takes only keywords and refuses
    (``pydantic.ValidationError``) a value of another type or outside the bounds, NaN, infinity,
    and unknown names. Objects are frozen. ``Field(examples=[...])`` gives a telling value, with
    which `fedsim.testing` checks the class.
    """


def checked(cls: Class) -> Class:
    """Make a class the checked, frozen, keyword-only dataclass of its parameters.

    Use it for a common base of registered classes; `Registry.register` does it for the classes
    themselves.

    Raises:
        TypeError: the class is already a dataclass.
    """
    if _FIELDS in vars(cls):
        raise TypeError(
            f"{cls.__qualname__} is already a dataclass: remove its own @dataclass, because "
            "the decorators of fedsim make it a checked dataclass"
        )
    return cast(Class, dataclass(frozen=True, kw_only=True, config=_CONFIG)(cls))


def is_code_only(cls: type[Any], name: str) -> bool:
    """Return whether a field of a checked class is `CodeOnly`."""
    fields: dict[str, Any] = getattr(cls, "__pydantic_fields__", {})
    return name in fields and _CODE_ONLY in fields[name].metadata


def example_of(cls: type[Any]) -> dict[str, Any]:
    """Return the telling parameters of a checked class: the first example of each that has some."""
    fields: dict[str, Any] = getattr(cls, "__pydantic_fields__", {})
    return {name: about.examples[0] for name, about in fields.items() if about.examples}
