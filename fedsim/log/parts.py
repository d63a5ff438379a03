"""Parts of records that describe a scenario, a model or a client."""

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
        """Return the component of a scenario's table, which has a name and parameters."""
        return cls(name=table["name"], parameters={k: v for k, v in table.items() if k != "name"})

    @classmethod
    def chain(cls, tables: Sequence[Mapping[str, Any]]) -> tuple[Component, ...]:
        """Return the components of a chain, in order."""
        return tuple(map(cls.of, tables))


class ModelTraits(Typed):
    """Model properties that matter to gradient inversion.

    Attributes:
        parameters: number of trainable parameters.
        batch_statistics: number of layers that normalise by the batch's statistics.
        piecewise_linear: number of layers without a second derivative.
    """

    parameters: int
    batch_statistics: int
    piecewise_linear: int


class Source(Typed):
    """Documentation of a named part of the scenario: registry, name, docstring."""

    kind: str
    name: str
    text: str


class PluginFile(Typed):
    """A loaded plugin file: name and digest of its contents."""

    name: str
    sha256: str


class PrivacySpent(Typed):
    """Privacy guarantee of a client's uploads so far.

    Attributes:
        epsilon, delta: parameters of differential privacy; without an epsilon there is no
            guarantee.
        unit: whether neighbouring data sets differ in one example of the client, or in all of them.
    """

    epsilon: Figure
    delta: float
    unit: str
