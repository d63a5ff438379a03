"""Comparison plan: a TOML file with a scenario and a grid of defenses."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from importlib.resources import files
from typing import Any

import tomli_w
from pydantic import Field, ValidationError, field_validator, model_validator

from fedsim.core.errors import ScenarioError, closest
from fedsim.core.toml import parse_toml
from fedsim.scenario import (
    Override,
    Scenario,
    Section,
    Shown,
    bundled,
    explain,
    is_scenario,
    override,
    toml_text,
)
from fedsim.scenario.grid import Attack, Cell, Entry, Place, distinct, slug
from fedsim.scenario.overrides import plain, tables

_FOLDER = "comparisons"
_CLIENTS = "clients"


class Comparison(Section):
    """the comparison: a scenario, the defenses to compare, and the rounds to attack."""

    title: Shown = "Untitled comparison"
    description: str = ""
    scenario: dict[str, Any] = Field(
        default_factory=dict, description="a scenario without its clients"
    )
    clients: int = Field(
        8, ge=1, description="number of clients in each run, all with the same defense"
    )
    seeds: list[int] = Field(
        [0], min_length=1, description="seeds; each defense is run once for each"
    )
    stages: dict[Shown, int] = Field(
        {"untrained": 1}, min_length=1, description="rounds to attack, by name"
    )
    victims: int = Field(4, ge=1, description="number of clients attacked at each stage")
    adaptive: bool = Field(True, description="also attack with knowledge of each defense")
    accuracy_loss: float = Field(
        0.02, ge=0, le=1, description="maximum loss of accuracy of a recommended defense"
    )
    last_evaluations: int = Field(
        1,
        ge=1,
        description="number of last measurements whose mean is the accuracy (see "
        "scenario.federation.evaluate_every); with small batches a single one is noisy",
    )
    grid: list[Entry] = Field(min_length=1)
    attacks: list[Attack] = Field(
        default_factory=list,
        description="attacks, each of which meets every defense of the grid; by default the "
        "scenario's alone",
    )

    @model_validator(mode="before")
    @classmethod
    def _own_clients(cls, value: object) -> object:
        scenario = value.get("scenario") if isinstance(value, dict) else None
        if isinstance(scenario, dict) and _CLIENTS in scenario:
            raise ValueError(
                "scenario.clients: a comparison gives all clients the same defense; write their "
                "number as 'clients' and the defenses as [[grid]]"
            )
        return value

    @field_validator("scenario", mode="before")
    @classmethod
    def _plain(cls, value: object) -> object:
        return plain(tables(value))

    @model_validator(mode="after")
    def _distinct(self) -> Comparison:
        names = [e.name for e in self.grid]
        twice = sorted({n for n in names if names.count(n) > 1})
        if twice:
            raise ValueError(
                f"grid: two entries have the name {twice[0]!r}; give one of them a different label"
            )
        attacks = [a.label for a in self.attacks]
        if len(set(attacks)) < len(attacks):
            raise ValueError("attacks: two entries have the same label")
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError("seeds: a seed is listed twice")
        return self

    @cached_property
    def cells(self) -> list[Cell]:
        """The runs of the comparison.

        Raises:
            ScenarioError: a defense or a strength is invalid; the message names its place in the
                grid.
        """
        return [cell for cell in self._tried if isinstance(cell, Cell)]

    @property
    def runs(self) -> list[Cell]:
        """The cells without those that share the run of an earlier one.

        Raises:
            ScenarioError: see `cells`.
        """
        return distinct(self.cells)

    @cached_property
    def unsuited(self) -> dict[str, str]:
        """Reason for each place whose attack and defense do not go together.

        Raises:
            ScenarioError: see `cells`.
        """
        return {p.place: why for p, why in (t for t in self._tried if not isinstance(t, Cell))}

    @cached_property
    def _tried(self) -> list[Cell | tuple[Place, str]]:
        """Cell of each place, or the reason why its attack and its defense do not go together.

        An attack that suits no defense, or a defense that suits no attack, is an error.
        """
        tried: list[Cell | tuple[Place, str]] = []
        scenarios: dict[str, Scenario] = {}
        for place, one in self._places():
            try:
                if place.place not in scenarios:
                    scenarios[place.place] = self._scenario(place, one)
                tried.append(Cell(**vars(place), scenario=scenarios[place.place]))
            except ScenarioError as error:
                if not place.attack:
                    raise
                tried.append((place, str(error)))
        cells = [each for each in tried if isinstance(each, Cell)]
        attacks, defenses = {c.attack for c in cells}, {c.defense for c in cells}
        for each in tried:
            if isinstance(each, tuple) and not (
                each[0].attack in attacks and each[0].defense in defenses
            ):
                raise ScenarioError(each[1])
        return tried

    def to_toml(self) -> str:
        """Return the comparison as TOML that loads to an equal one."""
        return tomli_w.dumps(self.model_dump(mode="json", exclude_none=True))

    @classmethod
    def from_toml(
        cls, text: str, source: str = "comparison", overrides: Sequence[Override] = ()
    ) -> Comparison:
        """Read a comparison from TOML text, and check every run of it.

        Args:
            text: the TOML.
            source: name in error messages.
            overrides: ``key=value`` texts, as those of a scenario.

        Raises:
            ScenarioError: with the source, the place, what was expected and what to do.
        """
        try:
            raw = parse_toml(text)
        except (ValueError, RecursionError) as error:
            raise ScenarioError(f"{source}: not valid TOML: {error}") from None
        return cls.from_tables(raw, source, overrides)

    @classmethod
    def from_tables(
        cls,
        given: Mapping[str, Any] | Comparison,
        source: str = "comparison",
        overrides: Sequence[Override] = (),
    ) -> Comparison:
        """Return the comparison of nested tables, and check every run of it.

        Args:
            given: tables like those of a file, which may hold registered objects, or a comparison
                that is to be changed.
            source: name in error messages.
            overrides: as in `from_toml`.

        Raises:
            ScenarioError: with the source, the place, what was expected and what to do.
        """
        raw = tables(given)
        for each in overrides:
            override(raw, each)
        try:
            made = cls.model_validate(raw)
        except ValidationError as error:
            raise ScenarioError("\n".join(explain(error, source))) from None
        try:
            made.cells  # noqa: B018  (checks them)
        except ScenarioError as error:
            raise ScenarioError(f"{source}: {error}") from None
        return made

    @property
    def places(self) -> list[Place]:
        """Positions of the runs; needs neither torch nor the scenarios.

        Raises:
            ScenarioError: the strengths of a defense are invalid.
        """
        return [place for place, _ in self._places()]

    def _places(self) -> Iterator[tuple[Place, Entry]]:
        """Yield the position of each run with its entry; equal scenarios have one folder."""
        folders: dict[str, str] = {}
        for number, attack in enumerate(a.label for a in self.attacks or [Attack(label="-")]):
            for row, entry in enumerate(self.grid, start=number * len(self.grid)):
                label = f"{attack}: {entry.name}" if self.attacks else entry.name
                for column, at in enumerate(entry.strengths()):
                    name = slug(f"{label}-{at.text}")
                    for seed in self.seeds:
                        place = Place(
                            f"{row:02d}-{column:02d}-{name}-seed{seed}",
                            label, at.text, at.value, (row, column), seed,
                            settings=at.settings,
                            fixed=entry.fixed,
                            attack=attack if self.attacks else "",
                            defense=f"{entry.name} {at.text}".strip(),
                        )  # fmt: skip
                        folder = folders.setdefault(self._key(place, at.entry), place.place)
                        yield replace(place, place=folder), at.entry

    def _key(self, place: Place, entry: Entry) -> str:
        """Return a text that is equal for equal scenarios."""
        try:
            return json.dumps(self._tables(place, entry), sort_keys=True, default=str)
        except ScenarioError:  # `_scenario` raises it with its position
            return place.place

    def _tables(self, place: Place, entry: Entry) -> dict[str, Any]:
        """Return the tables of a run's scenario, without its title."""
        raw: dict[str, Any] = tomllib.loads(tomli_w.dumps(self.scenario))
        raw["seed"] = place.seed
        raw[_CLIENTS] = [
            {"name": _CLIENTS, "count": self.clients, "defenses": list(entry.defenses)}
        ]
        plan = raw.setdefault("adversary", {})
        if isinstance(plan, dict):
            plan |= {
                "rounds": sorted(set(self.stages.values())),
                "per_round": self.victims,
                "adaptive": self.adaptive,
            }
        own = next((a.set for a in self.attacks if a.label == place.attack), {})
        for key, value in [*own.items(), *entry.set.items()]:
            override(raw, (key, value))
        return raw

    def _scenario(self, place: Place, entry: Entry) -> Scenario:
        title = f"{place.label} {place.strength}".strip()
        where = f"grid.{place.order[0] % len(self.grid)} ({title})"
        raw = {**self._tables(place, entry), "title": title}
        try:
            scenario = Scenario.model_validate(raw)
        except ValidationError as error:
            raise ScenarioError("\n".join(explain(error, where))) from None
        measured = -(-scenario.federation.rounds // scenario.federation.evaluate_every)
        if self.last_evaluations > measured:
            raise ScenarioError(
                f"last_evaluations: {self.last_evaluations}, but accuracy is measured {measured} "
                "times; lower it, or scenario.federation.evaluate_every"
            )
        late = [n for n, r in self.stages.items() if not 1 <= r <= scenario.federation.rounds]
        if late:
            raise ScenarioError(
                f"stages: {late[0]!r} is round {self.stages[late[0]]}: expected a round from 1 "
                f"to {scenario.federation.rounds}; change it or scenario.federation.rounds"
            )
        self._ends_with_a_stage(scenario)
        return scenario

    def _ends_with_a_stage(self, scenario: Scenario) -> None:
        """Refuse to leave rounds out that an attacker over rounds would have seen."""
        plan, rounds = scenario.adversary, scenario.federation.rounds
        if plan is not None and plan.rounds_together and rounds not in self.stages.values():
            raise ScenarioError(
                "stages: scenario.adversary.rounds_together attacks all rounds together after the "
                f"last stage, and rounds after it would be left out; add a stage at round {rounds}"
            )


def load_comparison(name_or_path: str, overrides: Sequence[Override] = ()) -> Comparison:
    """Load a bundled comparison by name, or a user's by the path of its TOML file.

    Raises:
        ScenarioError: there is no such comparison, or it is not valid.
    """
    text, source = comparison_text(name_or_path)
    if is_scenario(text):
        raise ScenarioError(f"{source}: this is a scenario; run: fedsim run {name_or_path}")
    return Comparison.from_toml(text, source, overrides)


def comparison_text(name_or_path: str) -> tuple[str, str]:
    """Return the TOML text of a comparison and its name in error messages.

    Raises:
        ScenarioError: there is no such comparison, or it cannot be read.
    """
    hint = closest(name_or_path, comparisons())
    if name_or_path in bundled():
        hint = f"it is a scenario; run: fedsim run {name_or_path}"
    return toml_text(
        name_or_path, comparisons(), files("fedsim.scenarios") / _FOLDER, "comparison", hint
    )


def comparisons() -> list[str]:
    """Return the names of the comparisons that come with fedsim."""
    names = (f.name for f in (files("fedsim.scenarios") / _FOLDER).iterdir())
    return sorted(n.removesuffix(".toml") for n in names if n.endswith(".toml"))
