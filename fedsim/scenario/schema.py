"""Scenario: one TOML file that describes an experiment completely."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Annotated, Any

from pydantic import (
    Field,
    ValidationError,
    model_validator,
)

from fedsim.core.errors import ScenarioError, closest
from fedsim.core.modality import PICTURES, suits
from fedsim.core.parameters import named, not_writable, set_by_code
from fedsim.core.registry import (
    AGGREGATIONS,
    ATTACKS,
    AUGMENTATIONS,
    DATASETS,
    DEFENSES,
    LOSSES,
    MANIPULATIONS,
    MODELS,
    OPTIMIZERS,
    PARTITIONS,
    SCHEDULES,
    Registry,
)
from fedsim.core.toml import parse_toml
from fedsim.scenario.holders import Holders, holders_of
from fedsim.scenario.optimizers import Sgd
from fedsim.scenario.overrides import Override, override, tables
from fedsim.scenario.sections import (
    AdversaryPlan,
    ClientGroup,
    Data,
    Federation,
    Section,
    Shown,
)
from fedsim.scenario.text import explain, toml_of

MAX_CLIENTS = 100_000


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
        if self.num_clients > MAX_CLIENTS:
            raise ValueError(
                f"clients: {self.num_clients} in all; expected at most {MAX_CLIENTS}, since each "
                "is a node of the simulation"
            )
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
        self.holders()
        self._combines_rounds()
        self._can_manipulate()
        try:
            self.federation.aggregation.complete()
            self.federation.aggregation.check(self.cohort_size)
        except ValueError as error:
            raise ValueError(f"federation.aggregation: {error}") from None
        self._refuse_defenses_of_other_models()
        return self

    def _combines_rounds(self) -> None:
        """Refuse to combine the rounds of clients whose uploads are not gradients of one batch."""
        plan, federation = self.adversary, self.federation
        if plan is None or not plan.rounds_together:
            return
        if plan.queue_full == "skip":
            raise ValueError(
                "adversary.rounds_together needs the uploads of all rounds; set "
                "adversary.queue_full = 'wait', or remove it"
            )
        if not federation.takes_one_step:
            raise ValueError(
                "adversary.rounds_together needs uploads of one local step; set "
                "federation.local_steps = 1, or remove it"
            )
        if federation.upload == "update" and not isinstance(federation.optimizer, Sgd):
            raise ValueError(
                "adversary.rounds_together needs gradients, which the weights after a step of "
                f"{OPTIMIZERS.name_of(federation.optimizer)!r} do not give; use 'sgd' as "
                "federation.optimizer, or remove it"
            )
        if not federation.schedule.is_constant or federation.max_grad_norm is not None:
            raise ValueError(
                "adversary.rounds_together needs gradients in one unit, without "
                "federation.schedule and federation.max_grad_norm; remove them, or it"
            )
        if federation.augmentations:
            raise ValueError(
                "adversary.rounds_together needs the same pictures in each round, which "
                "federation.augmentations change; remove them, or it"
            )
        if self.data.dataset.modality != PICTURES:
            raise ValueError("adversary.rounds_together needs pictures; remove it")

    def _can_manipulate(self) -> None:
        """Refuse a malicious server whose results could not be read."""
        plan, federation = self.adversary, self.federation
        if plan is None or plan.malicious is None:
            return
        if plan.rounds_together:
            raise ValueError(
                "adversary.malicious sends another model in each round, which "
                "adversary.rounds_together cannot combine; remove one of them"
            )
        if plan.malicious.isolates:
            self._can_isolate(MANIPULATIONS.name_of(plan.malicious))
        elif federation.aggregation.hides and plan.victims != "all":
            raise ValueError(
                "adversary.malicious with a secure aggregation sends all clients the same model; "
                "set adversary.victims = 'all'"
            )

    def _can_isolate(self, name: str) -> None:
        """Refuse to take single uploads out of sums that do not hide them, or are no gradients."""
        federation = self.federation
        if not federation.aggregation.hides:
            raise ValueError(
                f"adversary.malicious: {name!r} takes single uploads out of a secure sum, which "
                "aggregation = 'plain' has none of; use 'secagg+' or 'ckks', or another "
                "manipulation"
            )
        if not federation.takes_one_step or federation.optimizer != Sgd():
            raise ValueError(
                f"adversary.malicious: {name!r} needs the gradient of one step; set "
                "federation.local_steps = 1 and leave out federation.optimizer"
            )

    def _of_one_kind(self) -> None:
        """Refuse models, attacks and defenses for another kind of data than the data set's.

        Raises:
            ValueError: the message names the key and the values that suit the data set.
        """
        held = self.data.dataset.modality
        for key, thing, registry in self.parts():
            if registry in _OF_A_MODALITY and not suits(_modalities(type(thing)), held):
                name, dataset = registry.name_of(thing), DATASETS.name_of(self.data.dataset)
                fitting = [n for n in registry.names() if suits(_modalities(registry.get(n)), held)]
                raise ValueError(
                    f"{key}: {name!r} does not support {held}, the modality of the data set "
                    f"{dataset!r}: expected one of {', '.join(fitting)}, or another data set"
                )
        if held != PICTURES and not self.federation.loss.is_plain:
            raise ValueError(
                f"federation.loss: {held} are trained with the plain 'cross-entropy' alone; "
                "remove it"
            )

        if held != PICTURES and self.federation.augmentations:
            raise ValueError(
                f"federation.augmentations: they are for pictures, not for {held}; remove them"
            )

    def _refuse_defenses_of_other_models(self) -> None:
        for i, group in enumerate(self.clients):
            for j, defense in enumerate(group.defenses):
                why = defense.objection(self.model)
                if why is not None:
                    model, name = self.describe_model()["name"], DEFENSES.name_of(defense)
                    raise ValueError(
                        f"clients.{i}.defenses.{j}: {name!r} does not support model {model!r}: "
                        f"{why}"
                    )

    @property
    def num_clients(self) -> int:
        """Number of clients in all groups."""
        return sum(g.count for g in self.clients)

    @property
    def cohort_size(self) -> int:
        """Number of clients that take part in a round."""
        return max(1, round(self.num_clients * self.federation.fraction))

    def group_of(self, partition: int) -> ClientGroup:
        """Return the group of a client; partitions are numbered through the groups in order."""
        for group in self.clients:
            if partition < group.count:
                return group
            partition -= group.count
        raise IndexError(f"there are only {self.num_clients} clients")

    def holders(self) -> list[Holders]:
        """Return the data sets of all groups of clients, each with its clients."""
        return holders_of(self.data, self.clients)

    def describe_model(self) -> dict[str, Any]:
        """Return the model as a plain table of name and hyper-parameters."""
        model: dict[str, Any] = self.model_dump()["model"]
        return model

    def describe_defenses(self, partition: int) -> list[dict[str, Any]]:
        """Return a client's defenses as plain tables of name and parameters."""
        defenses: list[dict[str, Any]] = self.group_of(partition).model_dump()["defenses"]
        return defenses

    def to_toml(self) -> str:
        """Return the resolved scenario as TOML that loads to an equal one.

        Raises:
            ScenarioError: an object in it cannot be represented in TOML.
        """
        for key, thing, _ in self.parts():
            for field in set_by_code(thing):
                raise ScenarioError(not_writable(f"{key}.{field}", type(thing)))
        text = toml_of(self)
        back = Scenario.from_toml(text)
        if back != self:
            pairs = zip(self.parts(), back.parts(), strict=True)
            wrong = next((key for (key, ours, _), (_, its, _) in pairs if ours != its), "it")
            raise ScenarioError(
                f"{wrong} cannot be written to a scenario, because TOML cannot represent it; "
                "expected parameters that are strings, numbers, booleans, or lists of them"
            )
        return text

    def parts(self) -> list[tuple[str, Any, Registry]]:
        """Return the key, object and registry of all registered objects of the scenario."""
        federation, adversary = self.federation, self.adversary
        found = [
            ("data.dataset", self.data.dataset, DATASETS),
            ("data.partition", self.data.partition, PARTITIONS),
            ("model", self.model, MODELS),
            ("federation.aggregation", federation.aggregation, AGGREGATIONS),
            ("federation.loss", federation.loss, LOSSES),
            ("federation.optimizer", federation.optimizer, OPTIMIZERS),
            ("federation.schedule", federation.schedule, SCHEDULES),
        ]
        for i, augmentation in enumerate(federation.augmentations):
            found.append((f"federation.augmentations.{i}", augmentation, AUGMENTATIONS))
        if adversary is not None:
            found.append(("adversary.attack", adversary.attack, ATTACKS))
            if adversary.malicious is not None:
                found.append(("adversary.malicious", adversary.malicious, MANIPULATIONS))
        for i, group in enumerate(self.clients):
            if group.dataset is not None:
                found.append((f"clients.{i}.dataset", group.dataset, DATASETS))
            if group.partition is not None:
                found.append((f"clients.{i}.partition", group.partition, PARTITIONS))
            for j, defense in enumerate(group.defenses):
                found.append((f"clients.{i}.defenses.{j}", defense, DEFENSES))
        return found

    @classmethod
    def from_toml(
        cls, text: str, source: str = "scenario", overrides: Sequence[Override] = ()
    ) -> Scenario:
        """Read a scenario from TOML text.

        Args:
            text: the TOML.
            source: name in error messages.
            overrides: ``key=value`` texts; the key is a dotted path into the scenario
                (``clients.0.count``), the value is TOML, or else taken as a string. Or pairs
                of such a key and the value itself.

        Raises:
            ScenarioError: the scenario is invalid; the message names the source, the key, the
                expected value and a remedy.
        """
        try:
            raw = parse_toml(text)
        except (
            ValueError,
            RecursionError,
        ) as error:  # numbers too long, brackets nested too deeply
            raise ScenarioError(f"{source}: not valid TOML: {error}") from None
        return cls.from_tables(raw, source, overrides)

    @classmethod
    def from_tables(
        cls,
        given: Mapping[str, Any] | Scenario,
        source: str = "scenario",
        overrides: Sequence[Override] = (),
    ) -> Scenario:
        """Return the scenario of nested tables, which may contain registered objects.

        Args:
            given: tables with the keys of a file, or a scenario to change.
            source: name in error messages.
            overrides: changes; see `from_toml`.

        Raises:
            ScenarioError: the scenario is invalid; the message names the source, the key, the
                expected value and a remedy.
        """
        if isinstance(given, Scenario) and not overrides:
            return given
        raw = tables(given)
        for each in overrides:
            override(raw, each)
        try:
            return cls.model_validate(raw)
        except ValidationError as error:
            raise ScenarioError("\n".join(explain(error, source))) from None


_OF_A_MODALITY = (MODELS, ATTACKS, MANIPULATIONS, DATASETS, DEFENSES)


def _modalities(cls: type[Any]) -> Collection[str] | None:
    """Return the supported modalities of a model, an attack or a defense; None for all."""
    if hasattr(cls, "modality"):
        return (cls.modality,)
    several: Collection[str] | None = cls.modalities
    return several
