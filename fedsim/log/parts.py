"""The parts of records that describe a scenario, a model or a client."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, JsonValue

from fedsim.log.values import Figure, Typed, finite


class Component(Typed):
    """A named part of a scenario, such as a defense, with its parameters."""

    name: str
    parameters: Annotated[dict[str, JsonValue], BeforeValidator(finite)] = Field(
        default_factory=dict
    )

    @classmethod
    def of(cls, table: Mapping[str, Any]) -> Component:
        """Return the component of a scenario's table: a name, and the parameters beside it."""
        return cls(name=table["name"], parameters={k: v for k, v in table.items() if k != "name"})

    @classmethod
    def chain(cls, tables: Sequence[Mapping[str, Any]]) -> tuple[Component, ...]:
        """Return the components of a chain, in order."""
        return tuple(map(cls.of, tables))


class ModelTraits(Typed):
    """Properties of a model that decide whether an attack on it can work.

    Attributes:
        parameters: how many are trained.
        batch_statistics: layers that normalise by the batch's own statistics.
        piecewise_linear: layers without a second derivative.
    """

    parameters: int
    batch_statistics: int
    piecewise_linear: int


class Source(Typed):
    """The documentation of a named part of the scenario: registry, name, docstring."""

    kind: str
    name: str
    text: str


class PluginFile(Typed):
    """A plugin file that was loaded: name and digest of its contents."""

    name: str
    sha256: str


class PrivacySpent(Typed):
    """The guarantee that a client's uploads so far still give.

    Attributes:
        epsilon, delta: of differential privacy; without an epsilon there is no guarantee.
        unit: between data sets that differ in one example of the client's, or in all of them.
    """

    epsilon: Figure
    delta: float
    unit: str
