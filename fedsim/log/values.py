"""Types of values in records."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field


def finite(value: Any) -> Any:
    """Return a value in which null replaces each number that is not finite."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: finite(part) for key, part in value.items()}
    return [finite(part) for part in value] if isinstance(value, list | tuple) else value


Figure = Annotated[float | None, BeforeValidator(finite)]
"""A finite number, or None."""

Lax = Field(strict=False)
"""For types that JSON lacks: its lists become tuples, its strings members of an enumeration."""

Names = Annotated[tuple[str, ...], Lax]
Clients = Annotated[tuple[int, ...], Lax]


class Typed(BaseModel):
    """Base class of records and their parts."""

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore", allow_inf_nan=False)
