"""A scenario: one TOML file that says everything about an experiment."""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import tomli_w
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from fedsim.core.errors import ScenarioError, closest
from fedsim.core.modality import suits
from fedsim.core.parameters import NestedError, named, refuse_unknown
from fedsim.core.registry import AGGREGATIONS, ATTACKS, DATASETS, DEFENSES, MODELS, PARTITIONS
from fedsim.scenario.overrides import Override, override

RESERVED_NAME = "positive control"
"""What a summary calls the adversary's own control: no client group may have that name."""

RESERVED_FOR_SUM = "sum of the uploads"
"""What a summary calls the sum of a round's uploads, where no single one is seen."""


def _shown(text: str) -> str:
    if not text.isprintable():
        raise ValueError("expected text on one line, without control characters")
    return text


Shown = Annotated[str, AfterValidator(_shown)]
"""Text that is shown in terminals, which control characters could steer."""


class Section(BaseModel):
    """A table of the scenario; unknown keys are errors that offer the nearest valid one."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, value: object) -> object:
        if isinstance(value, dict):
            owner = (cls.__doc__ or "").split(":")[0].split("\n")[0]
            refuse_unknown(set(map(str, value)), set(cls.model_fields), owner)
        return value


class Data(Section):
    """[data]: which images, and how they are spread over the clients."""

    dataset: Annotated[Any, *named(DATASETS)] = Field(
        default="fashion-mnist-mini", validate_default=True
    )
    partition: Annotated[Any, *named(PARTITIONS)] = Field(default="iid", validate_default=True)
    data_dir: str | None = Field(None, description="folder in which data sets are looked for")

    @field_validator("data_dir")
    @classmethod
    def _absolute(cls, value: str | None) -> str | None:
        """Make the folder absolute at once, because workers may run in another one."""
        try:
            return value and str(Path(value).expanduser().absolute())
        except RuntimeError as error:
            raise ValueError(f"{error} Give the whole path of the folder") from None


class Federation(Section):
    """[federation]: the rounds, and what a client does in each."""

    rounds: int = Field(2, ge=1)
    upload: Literal["gradient", "update"] = Field(
        "gradient", description="a gradient (FedSGD), or the weights after local SGD (FedAvg)"
    )
    batch_size: int = Field(1, ge=1, description="images per local step")
    local_steps: int = Field(1, ge=1, description="local SGD steps; 1 for gradients")
    learning_rate: float = Field(0.1, gt=0)
    fraction: float = Field(1.0, gt=0, le=1, description="share of the clients in each round")
    evaluate_every: int = Field(
        1, ge=1, description="measure the global model's accuracy every k-th round, and at the end"
    )
    aggregation: Annotated[Any, *named(AGGREGATIONS)] = Field(
        default="plain", validate_default=True
    )
    timeout_s: float = Field(600.0, gt=0, description="how long a round waits for its clients")

    @model_validator(mode="after")
    def _possible(self) -> Federation:
        if self.upload == "gradient" and self.local_steps > 1:
            raise ValueError(
                f"local_steps = {self.local_steps} needs upload = 'update': a gradient is "
                "that of one step; set upload = 'update', or local_steps = 1"
            )
        return self


class ClientGroup(Section):
    """[[clients]]: clients that are alike, and their defenses in the order of application."""

    name: Shown = Field(min_length=1, max_length=60)
    count: int = Field(1, ge=1)
    defenses: list[Annotated[Any, *named(DEFENSES)]] = Field(default_factory=list)

    @field_validator("name")
    @classmethod
    def _not_reserved(cls, value: str) -> str:
        if value == RESERVED_NAME:
            raise ValueError("this is what the adversary's own control is called; choose another")
        if value == RESERVED_FOR_SUM:
            raise ValueError("this is what the sum of all uploads is called; choose another")
        return value


class AdversaryPlan(Section):
    """[adversary]: whom the curious server attacks, and how."""

    attack: Annotated[Any, *named(ATTACKS)] = Field(default="best", validate_default=True)
    adaptive: bool = Field(
        False, description="also attack with what is known against each client's defense"
    )
    victims: Literal["all"] | list[str] = Field(
        "all", description="'all', or the names of client groups"
    )
    per_round: int | None = Field(None, ge=1, description="at most so many victims a round")
    every: int = Field(1, ge=1, description="attack round 1 and every k-th one from there")
    rounds: list[Annotated[int, Field(ge=1)]] | None = Field(
        None, description="attack these rounds, in place of every k-th"
    )
    learning_rate: float | None = Field(
        None, gt=0, description="what it takes the clients' for; else it knows"
    )
    time_limit_s: float = Field(600.0, gt=0, description="time for the attacks of one round")

    def attacks(self, server_round: int) -> bool:
        """Return whether the uploads of a round are attacked."""
        if self.rounds is not None:
            return server_round in self.rounds
        return (server_round - 1) % self.every == 0


class Scenario(Section):
    """the scenario: data, model, federation, clients and adversary of one experiment."""

    title: Shown = "Untitled"
    description: str = ""
    seed: int = Field(0, ge=0, lt=2**63)
    data: Data = Field(default_factory=Data)
    model: Annotated[Any, *named(MODELS)] = Field(default="lenet", validate_default=True)
    federation: Federation = Field(default_factory=Federation)
    clients: list[ClientGroup] = Field(min_length=1)
    adversary: AdversaryPlan | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Scenario:
        names = [g.name for g in self.clients]
        twice = sorted({n for n in names if names.count(n) > 1})
        if twice:
            raise ValueError(f"clients: two groups are named {twice[0]!r}; names must differ")
        if self.adversary is not None and self.adversary.victims != "all":
            for victim in self.adversary.victims:
                if victim not in names:
                    raise ValueError(
                        f"adversary.victims: no client group is named {victim!r}: "
                        f"{closest(victim, names)}"
                    )
        self._of_one_kind()
        try:
            self.federation.aggregation.complete()
            self.federation.aggregation.check(self.cohort_size)
        except ValueError as error:
            raise ValueError(f"federation.aggregation: {error}") from None
        self._refuse_defenses_of_other_models()
        return self

    def _of_one_kind(self) -> None:
        """Refuse models, attacks and defenses for another kind of data than the data set's.

        Raises:
            ValueError: with the key, and what goes with the data set.
        """
        held = self.data.dataset.modality
        things = [("model", self.model, MODELS)]
        if self.adversary is not None:
            things.append(("adversary.attack", self.adversary.attack, ATTACKS))
        for number, group in enumerate(self.clients):
            for place, defense in enumerate(group.defenses):
                things.append((f"clients.{number}.defenses.{place}", defense, DEFENSES))
        for key, thing, registry in things:
            if not suits(_modalities(type(thing)), held):
                name, dataset = registry.name_of(thing), DATASETS.name_of(self.data.dataset)
                fitting = [n for n in registry.names() if suits(_modalities(registry.get(n)), held)]
                raise ValueError(
                    f"{key}: {name!r} is not for {held}, which is what the data set "
                    f"{dataset!r} holds: expected one of {', '.join(fitting)}, or another data set"
                )

    def _refuse_defenses_of_other_models(self) -> None:
        for i, group in enumerate(self.clients):
            for j, defense in enumerate(group.defenses):
                why = defense.objection(self.model)
                if why is not None:
                    model, name = self.describe_model()["name"], DEFENSES.name_of(defense)
                    raise ValueError(
                        f"clients.{i}.defenses.{j}: {name!r} cannot be had with model {model!r}: "
                        f"{why}"
                    )

    @property
    def num_clients(self) -> int:
        """How many clients there are in all groups."""
        return sum(g.count for g in self.clients)

    @property
    def cohort_size(self) -> int:
        """How many of the clients take part in a round."""
        return max(1, round(self.num_clients * self.federation.fraction))

    def group_of(self, partition: int) -> ClientGroup:
        """Return the group of a client; partitions are numbered through the groups in order."""
        for group in self.clients:
            if partition < group.count:
                return group
            partition -= group.count
        raise IndexError(f"there are only {self.num_clients} clients")

    def describe_model(self) -> dict[str, Any]:
        """Return the model as a plain table of name and hyper-parameters."""
        model: dict[str, Any] = self.model_dump()["model"]
        return model

    def describe_defenses(self, partition: int) -> list[dict[str, Any]]:
        """Return a client's defenses as plain tables of name and parameters."""
        defenses: list[dict[str, Any]] = self.group_of(partition).model_dump()["defenses"]
        return defenses

    def to_toml(self) -> str:
        """Return the resolved scenario as TOML that loads to an equal one."""
        return tomli_w.dumps(_without_none(self.model_dump(mode="json")))

    @classmethod
    def from_toml(
        cls, text: str, source: str = "scenario", overrides: Sequence[Override] = ()
    ) -> Scenario:
        """Read a scenario from TOML text.

        Args:
            text: the TOML.
            source: what to call it in errors.
            overrides: ``key=value`` texts; the key is a dotted path into the scenario
                (``clients.0.count``), the value is TOML, or else taken as a string. Or pairs
                of such a key and the value itself.

        Raises:
            ScenarioError: with the source, the key, what was expected and what to do.
        """
        try:
            raw = tomllib.loads(text)
        except (ValueError, RecursionError) as error:  # numbers too long, brackets too deep
            raise ScenarioError(f"{source}: this is not TOML: {error}") from None
        for each in overrides:
            override(raw, each)
        try:
            return cls.model_validate(raw)
        except ValidationError as error:
            raise ScenarioError("\n".join(explain(error, source))) from None


def _modalities(cls: type[Any]) -> Collection[str] | None:
    """Return the modalities of a model, which has one, an attack or a defense; None for any."""
    if hasattr(cls, "modality"):
        return (cls.modality,)
    several: Collection[str] | None = cls.modalities
    return several


def explain(error: ValidationError, source: str, outer: tuple[Any, ...] = ()) -> list[str]:
    """Return what is wrong with a scenario, a line for each problem: source, key and reason."""
    lines = []
    for problem in error.errors(include_url=False):
        place = (*outer, *problem["loc"])
        cause = problem.get("ctx", {}).get("error")
        if isinstance(cause, NestedError):
            lines += explain(cause.error, source, place)
            continue
        message = problem["msg"].removeprefix("Value error, ")
        given = problem["type"] != "missing" and not isinstance(problem["input"], dict | list)
        shown = f" (got {problem['input']!r})" if given else ""
        key = ".".join(str(p) for p in place if p not in ("literal['all']", "list[str]"))
        lines.append(f"{source}: {key + ': ' if key else ''}{message}{shown}")
    return list(dict.fromkeys(lines))


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_none(v) for k, v in value.items() if v is not None}
    return [_without_none(v) for v in value] if isinstance(value, list) else value
