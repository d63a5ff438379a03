"""Parts of records that describe a scenario, a model or a client."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, JsonValue

from fedsim.log.values import Figure, Typed, finite


class Component(Typed):
    """A named part of a scenario, such as a defense, with its parameters.

    Attributes:
        name: its registered name.
        parameters: by name.
        units: its strength in units that others use, by name.
        check: whether it is a client's check of the received model, which changes no upload.
        accuses: whether such a check suspects the server; if not, it finds a leak, whoever is to
            blame.
    """

    name: str
    parameters: Annotated[dict[str, JsonValue], BeforeValidator(finite)] = Field(
        default_factory=dict
    )
    units: dict[str, float] = Field(default_factory=dict)
    check: bool = False
    accuses: bool = True

    @property
    def is_check(self) -> bool:
        """Whether it is a check, by its action in logs that do not say so."""
        return self.check or "action" in self.parameters

    @property
    def numbers(self) -> dict[str, int | float]:
        """The parameters that are numbers, by name."""
        return {k: v for k, v in self.parameters.items() if isinstance(v, int | float)}

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
        frozen: number of parameters that are not trained, and so are not in a gradient;
            None in older logs.
    """

    parameters: int
    batch_statistics: int
    piecewise_linear: int
    frozen: int | None = None


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
        epsilon, delta: parameters of differential privacy, epsilon as an upper bound; without one
            there is no guarantee.
        unit: whether neighbouring data sets differ in one example of the client, or in all of them.
        adjacency: relation of neighbouring data sets; ``replace-one``, or empty if it was not
            recorded.
        noise_multiplier: standard deviation of the noise on the sum, in units of the norm.
        norm: bound on the L2 norm of a contribution.
        drawn, population: number of examples behind an upload, drawn without replacement, and of
            all examples of the client.
        uses: number of steps of an upload that an example is part of at most.
        uploads: number of uploads so far.
        blind: a probability of success without any upload.
        success: the largest probability of success of an attack, by the same criterion.
        claimed: upper bound on the epsilon of one upload with all examples that it draws, which is
            what an audit with canaries measures; None without an audit.
        measured: lower bound on the same epsilon at 95 %, from the audit.
        withheld: reason why there is no epsilon in spite of a mechanism, or None.
    """

    epsilon: Figure
    delta: float
    unit: str
    adjacency: str = ""
    noise_multiplier: Figure = None
    norm: Figure = None
    drawn: int | None = None
    population: int | None = None
    uses: int = 1
    uploads: int | None = None
    blind: Figure = None
    success: Figure = None
    claimed: Figure = None
    measured: Figure = None
    withheld: str | None = None
