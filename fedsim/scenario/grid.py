"""The grid of a comparison: its entries, their strengths, and the place of each run."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from pydantic import Field, field_validator

from fedsim.core.errors import ScenarioError
from fedsim.core.names import NO_DEFENSE
from fedsim.scenario import Scenario, Section, Shown
from fedsim.scenario.overrides import plain


class Entry(Section):
    """[[grid]]: a chain of defenses, at one or several strengths.

    A list instead of a number gives the strengths to try.
    """

    label: Shown | None = Field(None, max_length=40, description="name in tables")
    defenses: list[str | dict[str, Any]] = Field(
        default_factory=list, description="defenses, as in a client group"
    )
    set: dict[str, Any] = Field(
        default_factory=dict,
        description="changes of the scenario, such as {'federation.batch_size' = [2, 4]}",
    )

    @field_validator("defenses", "set", mode="before")
    @classmethod
    def _plain(cls, value: object) -> object:
        return plain(value)

    @property
    def name(self) -> str:
        """Name of the defense: its label, or else the names of its chain."""
        if self.label is not None:
            return self.label
        names = [d if isinstance(d, str) else str(d.get("name", "?")) for d in self.defenses]
        return " + ".join([*names, *self.set]) or NO_DEFENSE

    def strengths(self) -> list[tuple[str, float | None, Entry]]:
        """Return each strength as text and as a number, and the entry with only that strength.

        Raises:
            ScenarioError: two parameters are lists, or a list is empty.
        """
        places: list[tuple[str, int | None, str, list[Any]]] = []
        for i, defense in enumerate(self.defenses):
            if isinstance(defense, dict):
                places += [("d", i, k, v) for k, v in defense.items() if isinstance(v, list)]
        places += [("s", None, k, v) for k, v in self.set.items() if isinstance(v, list)]
        if not places:
            return [("", None, self)]
        if len(places) > 1:
            raise ScenarioError(
                f"{self.name}: {places[0][2]!r} and {places[1][2]!r} are both lists; expected one "
                "strength to vary: split this into several [[grid]] tables"
            )
        [(kind, position, key, values)] = places
        if not values:
            raise ScenarioError(f"{self.name}: {key!r} is an empty list: expected strengths to try")
        found = []
        for value in values:
            if kind == "s":
                one = self.model_copy(update={"set": {**self.set, key: value}})
            else:
                changed = [
                    {**d, key: value} if i == position and isinstance(d, dict) else d
                    for i, d in enumerate(self.defenses)
                ]
                one = self.model_copy(update={"defenses": changed})
            number = float(value) if isinstance(value, int | float) else None
            found.append((f"{key.rsplit('.', maxsplit=1)[-1]}={_short(value)}", number, one))
        return found


class Attack(Section):
    """[[attacks]]: an attack that meets every defense of the grid."""

    label: Shown = Field(min_length=1, max_length=40, description="name in tables")
    set: dict[str, Any] = Field(
        default_factory=dict,
        description="changes of the scenario, such as {'adversary.malicious' = 'imprint'}",
    )

    @field_validator("set", mode="before")
    @classmethod
    def _plain(cls, value: object) -> object:
        return plain(value)


@dataclass(frozen=True)
class Place:
    """Position of one run in a comparison, known without loading the run's requirements.

    Attributes:
        place: its folder's name.
        label: the defense, behind the name of the attack if there are several.
        strength: as text; empty if there is only one.
        value: the strength as a number, or None.
        order: index of the defense, counted anew for each attack, and of the strength.
        seed: seed of the run.
        attack: name of the attack; empty if the comparison has a single one.
        defense: the defense with its strength.
    """

    place: str
    label: str
    strength: str
    value: float | None
    order: tuple[int, int]
    seed: int
    attack: str = field(default="", kw_only=True)
    defense: str = field(default="", kw_only=True)


@dataclass(frozen=True)
class Cell(Place):
    """One run of a comparison.

    Attributes:
        scenario: the scenario to run.
    """

    scenario: Scenario


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def slug(text: str) -> str:
    """Return any text in a form that is safe in a file name."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:50]
