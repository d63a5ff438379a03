"""Tables of a scenario: data, federation, clients and adversary."""

from __future__ import annotations

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
from fedsim.core.registry import AGGREGATIONS, ATTACKS, DATASETS, DEFENSES, PARTITIONS


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
        if value == CONTROL:
            raise ValueError("this is what the adversary's own control is called; choose another")
        if value == SUM:
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
