"""The grid of a comparison: its entries, their strengths, and the place of each run."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any, TypeGuard, TypeVar

from pydantic import Field, field_validator

from fedsim.core.errors import ScenarioError
from fedsim.core.names import NO_DEFENSE
from fedsim.scenario import Scenario, Section, Shown
from fedsim.scenario.overrides import plain

_SWEPT = 2
"""Maximum number of parameters that a sweep varies: as many as a heat map has sides."""

Setting = int | float | str
Settings = tuple[tuple[str, Setting], ...]
"""Name and value of parameters."""


class Entry(Section):
    """[[grid]]: a chain of defenses, at one or several strengths.

    A list instead of a number gives the strengths to try. With ``sweep``, two lists do.
    """

    label: Shown | None = Field(None, max_length=40, description="name in tables")
    defenses: list[str | dict[str, Any]] = Field(
        default_factory=list, description="defenses, as in a client group"
    )
    set: dict[str, Any] = Field(
        default_factory=dict,
        description="changes of the scenario, such as {'federation.batch_size' = [2, 4]}",
    )
    sweep: bool = Field(
        False,
        description="whether two parameters can be lists, of which each value of one is tried with "
        "each value of the other, as in {'federation.batch_size' = [1, 4], "
        "'federation.local_steps' = [1, 2]}; shown as a heat map",
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

    @property
    def fixed(self) -> str:
        """Changes of the scenario that are the same at all strengths, as text."""
        single = ((k, v) for k, v in self.set.items() if not isinstance(v, list))
        return in_settings(tuple((k.rsplit(".", maxsplit=1)[-1], _setting(v)) for k, v in single))

    def strengths(self) -> list[Strength]:
        """Return the strengths to try, each with the entry that has only that strength.

        Raises:
            ScenarioError: too many parameters are lists, or a list is empty.
        """
        lists = self._lists()
        for one in lists:
            if not one.values:
                raise ScenarioError(
                    f"{self.name}: {one.key!r} is an empty list: expected strengths to try"
                )
        most = _SWEPT if self.sweep else 1
        if len(lists) > most:
            names = " and ".join(repr(one.key) for one in lists)
            raise ScenarioError(
                f"{self.name}: {names} are {'both' if len(lists) == 2 else 'all'} lists; "
                + (
                    f"expected at most {_SWEPT} parameters to vary: fix one of them, or split "
                    "this into several [[grid]] tables"
                    if self.sweep
                    else "expected one strength to vary: write sweep = true to try each value of "
                    "one with each value of the other, or split this into several [[grid]] tables"
                )
            )
        return [self._at(lists, values) for values in product(*(one.values for one in lists))]

    def _lists(self) -> list[_List]:
        """Return the parameters with several values, those of the defenses first."""
        found = [
            _List(position, key, value)
            for position, defense in enumerate(self.defenses)
            if isinstance(defense, dict)
            for key, value in defense.items()
            if isinstance(value, list)
        ]
        found += [_List(None, k, v) for k, v in self.set.items() if isinstance(v, list)]
        return found

    def _at(self, lists: Sequence[_List], values: Sequence[Any]) -> Strength:
        """Return one strength: a value of each parameter."""
        one = self
        for each, value in zip(lists, values, strict=True):
            one = one._with(each, value)
        keys = [each.key.rsplit(".", maxsplit=1)[-1] for each in lists]
        if len(set(keys)) < len(keys):
            keys = [each.key for each in lists]
        settings = tuple(zip(keys, map(_setting, values), strict=True))
        number = settings[0][1] if len(settings) == 1 else None
        text = in_settings(settings)
        return Strength(text, float(number) if _is_number(number) else None, settings, one)

    def _with(self, one: _List, value: Any) -> Entry:
        """Return the entry with one value of a parameter."""
        if one.position is None:
            return self.model_copy(update={"set": {**self.set, one.key: value}})
        changed = [
            {**d, one.key: value} if i == one.position and isinstance(d, dict) else d
            for i, d in enumerate(self.defenses)
        ]
        return self.model_copy(update={"defenses": changed})


@dataclass(frozen=True)
class _List:
    """A parameter with several values: of the defense at a position, or of the scenario."""

    position: int | None
    key: str
    values: list[Any]


@dataclass(frozen=True)
class Strength:
    """One strength of an entry.

    Attributes:
        text: as text; empty if there is only one.
        value: as a number, or None.
        settings: name and value of each parameter that varies.
        entry: the entry with only that strength.
    """

    text: str
    value: float | None
    settings: Settings
    entry: Entry


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
        place: its folder's name; places with the same scenario share it.
        label: the defense, behind the name of the attack if there are several.
        strength: as text; empty if there is only one.
        value: the strength as a number, or None.
        order: index of the defense, counted anew for each attack, and of the strength.
        seed: seed of the run.
        settings: name and value of each parameter that varies.
        fixed: the entry's single changes of the scenario, as text.
        attack: name of the attack; empty if the comparison has a single one.
        defense: the defense with its strength.
    """

    place: str
    label: str
    strength: str
    value: float | None
    order: tuple[int, int]
    seed: int
    settings: Settings = field(default=(), kw_only=True)
    fixed: str = field(default="", kw_only=True)
    attack: str = field(default="", kw_only=True)
    defense: str = field(default="", kw_only=True)

    @property
    def brief(self) -> str:
        """The strength without the name of its parameter, if there is only one."""
        return in_brief(self.settings)


@dataclass(frozen=True)
class Cell(Place):
    """One run of a comparison.

    Attributes:
        scenario: the scenario to run.
    """

    scenario: Scenario


P = TypeVar("P", bound=Place)


def distinct(places: Iterable[P]) -> list[P]:
    """Return the places without those that share the run of an earlier one."""
    found: dict[str, P] = {}
    for place in places:
        found.setdefault(place.place, place)
    return list(found.values())


def in_settings(settings: Settings) -> str:
    """Return settings as text, such as ``batch_size=4, local_steps=2``."""
    return ", ".join(f"{key}={short(value)}" for key, value in settings)


def in_brief(settings: Settings) -> str:
    """Return the value of a single setting alone, and several ones with their names."""
    return short(settings[0][1]) if len(settings) == 1 else in_settings(settings)


def short(value: Setting) -> str:
    """Return a value as text."""
    return f"{value:g}" if isinstance(value, float) else str(value)


def _setting(value: Any) -> Setting:
    """Return a value for tables: a number or a text."""
    if isinstance(value, dict) and "name" in value:
        others = ", ".join(f"{k}={short(_setting(v))}" for k, v in value.items() if k != "name")
        return f"{value['name']} ({others})" if others else str(value["name"])
    return value if isinstance(value, int | float | str) else str(value)


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float)


def slug(text: str) -> str:
    """Return any text in a form that is safe in a file name."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:50]
