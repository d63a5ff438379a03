"""Tables of a scenario: data, federation, clients and adversary."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)

from fedsim.core.names import CONTROL, SUM
from fedsim.core.parameters import named, refuse_unknown
from fedsim.core.registry import (
    AGGREGATIONS,
    ATTACKS,
    AUGMENTATIONS,
    DATASETS,
    DEFENSES,
    LOSSES,
    MANIPULATIONS,
    OPTIMIZERS,
    PARTITIONS,
    SCHEDULES,
)


def _shown(text: str) -> str:
    if not text.isprintable():
        raise ValueError("expected text on one line, without control characters")
    return text


Shown = Annotated[str, AfterValidator(_shown)]
"""Text that is shown in terminals, and so must not contain control characters."""


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
    """[data]: the data set, and its partition among the clients."""

    dataset: Annotated[Any, *named(DATASETS)] = Field(
        default="fashion-mnist-mini", validate_default=True
    )
    partition: Annotated[Any, *named(PARTITIONS)] = Field(default="iid", validate_default=True)
    data_dir: str | None = Field(None, description="folder to search for data sets")

    @field_validator("data_dir")
    @classmethod
    def _absolute(cls, value: str | None) -> str | None:
        """Make the folder absolute at once, because workers may run in another folder."""
        try:
            return value and str(Path(value).expanduser().absolute())
        except RuntimeError as error:
            raise ValueError(f"{error} Use the absolute path of the folder") from None


class Federation(Section):
    """[federation]: the rounds, and the local training in each."""

    rounds: int = Field(2, ge=1, le=1_000_000)
    upload: Literal["gradient", "update"] = Field(
        "gradient", description="a gradient (FedSGD), or the weights after local SGD (FedAvg)"
    )
    batch_size: int = Field(1, ge=1, description="images per local step")
    local_steps: int = Field(
        1, ge=1, le=1_000_000, description="local steps of all clients; 1 for gradients"
    )
    local_epochs: int | None = Field(
        None, ge=1, description="passes over each client's data, instead of local_steps"
    )
    loss: Annotated[Any, *named(LOSSES)] = Field(default="cross-entropy", validate_default=True)
    optimizer: Annotated[Any, *named(OPTIMIZERS)] = Field(default="sgd", validate_default=True)
    learning_rate: float = Field(0.1, gt=0)
    schedule: Annotated[Any, *named(SCHEDULES)] = Field(default="constant", validate_default=True)
    max_grad_norm: float | None = Field(
        None, gt=0, description="norm to which a step's gradient is clipped in local training"
    )
    proximal_mu: float = Field(
        0.0, ge=0, description="weight of FedProx's proximal term in local training"
    )
    augmentations: list[Annotated[Any, *named(AUGMENTATIONS)]] = Field(
        default_factory=list, description="random changes of the pictures of each local step"
    )
    fraction: float = Field(1.0, gt=0, le=1, description="share of the clients in each round")
    evaluate_every: int = Field(
        1, ge=1, description="measure the global model's accuracy every k-th round, and at the end"
    )
    aggregation: Annotated[Any, *named(AGGREGATIONS)] = Field(
        default="plain", validate_default=True
    )
    timeout_s: float = Field(
        600.0, gt=0, description="maximum time that a round waits for its clients; not inline"
    )

    @model_validator(mode="after")
    def _possible(self) -> Federation:
        if self.upload == "gradient" and self.local_steps > 1:
            raise ValueError(
                f"local_steps = {self.local_steps} needs upload = 'update': a gradient "
                "belongs to one step; set upload = 'update', or local_steps = 1"
            )
        if self.local_epochs is not None:
            self._possible_epochs()
        if self.upload == "gradient":
            self._refuse_training()
        return self

    def _refuse_training(self) -> None:
        """Refuse settings of local training, which has no part in the upload of a gradient."""
        settings = {
            "schedule": not self.schedule.is_constant,
            "max_grad_norm": self.max_grad_norm is not None,
            "proximal_mu": self.proximal_mu > 0,
        }
        for name, given in settings.items():
            if given:
                raise ValueError(
                    f"{name} needs upload = 'update': it is a setting of local training, after "
                    f"which weights are uploaded; set upload = 'update', or remove {name}"
                )

    def _possible_epochs(self) -> None:
        if self.local_steps > 1:
            raise ValueError(
                f"local_epochs = {self.local_epochs} and local_steps = {self.local_steps} both "
                "set the number of steps; remove one of them"
            )
        if self.upload == "gradient":
            raise ValueError(
                f"local_epochs = {self.local_epochs} needs upload = 'update': a gradient "
                "belongs to one step; set upload = 'update', or remove local_epochs"
            )

    @property
    def takes_one_step(self) -> bool:
        """Whether every client takes a single local step, whatever the size of its data."""
        return self.local_epochs is None and self.local_steps == 1

    def steps_of(self, examples: int) -> int:
        """Return the number of local steps of a client.

        Args:
            examples: size of its data.
        """
        if self.local_epochs is None:
            return self.local_steps
        return self.local_epochs * -(-examples // self.batch_size)

    def rate_factors(self, server_round: int, examples: int) -> list[float]:
        """Return the factor on the learning rate in each local step of a client.

        Args:
            server_round: the round, from 1.
            examples: size of its data.
        """
        return self.factors_of(server_round, self.steps_of(examples))

    def factors_of(self, server_round: int, steps: int) -> list[float]:
        """Return the factor on the learning rate in each of a number of local steps.

        Args:
            server_round: the round, from 1.
            steps: number of local steps.
        """
        if self.schedule.over == "steps":
            return [self.schedule.factor(step, steps) for step in range(steps)]
        return [self.schedule.factor(server_round - 1, self.rounds)] * steps

    def most_examples(self, sizes: Sequence[int]) -> int:
        """Return the largest number of examples that a client can claim in a round.

        Args:
            sizes: size of each client's data.
        """
        if self.local_epochs is None:
            return self.batch_size * self.local_steps
        return max(sizes, default=self.batch_size)

    def uses_of(self, examples: int) -> int:
        """Return the number of examples that a client's local steps use, with repetitions.

        Args:
            examples: size of its data.
        """
        if self.local_epochs is None:
            return self.batch_size * self.local_steps
        return self.local_epochs * examples


class ClientGroup(Section):
    """[[clients]]: a group of clients with the same defenses, in the order of application."""

    name: Shown = Field(min_length=1, max_length=60)
    count: int = Field(1, ge=1)
    defenses: list[Annotated[Any, *named(DEFENSES)]] = Field(default_factory=list)
    dataset: Annotated[Any, *named(DATASETS)] | None = Field(
        None, description="data set of this group alone, in place of data.dataset"
    )
    partition: Annotated[Any, *named(PARTITIONS)] | None = Field(
        None, description="partition of the group's own data set, in place of data.partition"
    )

    @model_validator(mode="after")
    def _shares_its_own(self) -> ClientGroup:
        if self.partition is not None and self.dataset is None:
            raise ValueError("partition: the group has no dataset of its own; set data.partition")
        return self

    @field_validator("name")
    @classmethod
    def _not_reserved(cls, value: str) -> str:
        if value == CONTROL:
            raise ValueError(
                "this name is reserved for the adversary's positive control; choose another"
            )
        if value == SUM:
            raise ValueError("this name is reserved for the sum of all uploads; choose another")
        return value


class AdversaryPlan(Section):
    """[adversary]: victims and attack of the curious or malicious server."""

    attack: Annotated[Any, *named(ATTACKS)] = Field(default="best", validate_default=True)
    adaptive: bool = Field(
        False, description="also attack with knowledge of each client's defenses"
    )
    victims: Literal["all"] | list[str] = Field(
        "all", description="'all', or the names of client groups"
    )
    per_round: int | None = Field(None, ge=1, description="maximum number of victims per round")
    every: int = Field(1, ge=1, description="attack round 1 and every k-th round after it")
    rounds: list[Annotated[int, Field(ge=1)]] | None = Field(
        None, description="attack these rounds instead of every k-th"
    )
    learning_rate: float | None = Field(
        None,
        gt=0,
        description="the clients' learning rate as assumed; by default the true one",
    )
    rounds_together: bool = Field(
        False,
        description="after the last attacked round, also attack all rounds so far together, for "
        "clients whose batch is all their data",
    )
    malicious: Annotated[Any, *named(MANIPULATIONS)] | None = Field(
        None,
        description="change to the model that the victims receive in the attacked rounds; its "
        "read-out is the default of attack",
    )
    film: int = Field(
        0,
        ge=0,
        description="evaluations of a search by idlg that is filmed beside each result which was "
        "computed without a search; it ends with the time limit, and takes no time from attacks",
    )
    time_limit_s: float = Field(600.0, gt=0, description="time limit for the attacks of one round")
    queue_mb: float = Field(
        1000.0, gt=0, description="maximum memory of the uploads that wait for the attack, in MB"
    )
    queue_full: Literal["wait", "skip"] = Field(
        "wait",
        description="when that memory is full: 'wait', so that training waits for the attack, or "
        "'skip' the round's victims, which is recorded",
    )

    @model_validator(mode="before")
    @classmethod
    def _reads_out(cls, value: object) -> object:
        """Attack a changed model by default with the attack that reads it."""
        if not isinstance(value, dict) or "attack" in value:
            return value
        given = value.get("malicious")
        name = given.get("name") if isinstance(given, dict) else given
        if isinstance(name, str) and name in MANIPULATIONS.names():
            return {**value, "attack": MANIPULATIONS.get(name).readout}
        if given is not None and MANIPULATIONS.holds(given):
            return {**value, "attack": given.readout}
        return value

    def attacks(self, server_round: int) -> bool:
        """Return whether the uploads of a round are attacked."""
        if self.rounds is not None:
            return server_round in self.rounds
        return (server_round - 1) % self.every == 0
