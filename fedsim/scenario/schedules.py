"""Schedules of the clients' learning rate."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from fedsim.core.checked import Parameters, checked
from fedsim.core.registry import SCHEDULES


@checked
class Schedule(Parameters):
    """Schedule of the learning rate over the rounds of a run, or over the steps in a round."""

    over: Annotated[
        Literal["rounds", "steps"],
        Field(description="change the rate from round to round, or from local step to local step"),
    ] = "rounds"
    warmup: Annotated[
        int, Field(ge=0, description="rounds or steps of linear increase before the schedule")
    ] = 0

    @abstractmethod
    def after_warmup(self, position: int, length: int) -> float:
        """Return the factor on the learning rate.

        Args:
            position: number of the round or step after the warm-up, from 0.
            length: number of rounds or steps after the warm-up.
        """

    def factor(self, position: int, length: int) -> float:
        """Return the factor on the learning rate.

        Args:
            position: number of the round or step, from 0.
            length: number of rounds or steps.
        """
        if position < self.warmup:
            return (position + 1) / (self.warmup + 1)
        return self.after_warmup(position - self.warmup, max(1, length - self.warmup))

    @property
    def is_constant(self) -> bool:
        """Whether all factors are 1."""
        return False


@SCHEDULES.register("constant")
class Constant(Schedule):
    """Constant learning rate, after the warm-up if there is one."""

    def after_warmup(self, position: int, length: int) -> float:
        """Return 1."""
        return 1.0

    @property
    def is_constant(self) -> bool:
        """Whether all factors are 1."""
        return self.warmup == 0


@SCHEDULES.register("step")
class Step(Schedule):
    """Learning rate that falls by a factor again and again, as PyTorch's ``StepLR``."""

    every: Annotated[
        int, Field(ge=1, examples=[2], description="rounds or steps between two falls")
    ]
    gamma: Annotated[float, Field(gt=0, le=1, description="factor of a fall")] = 0.1

    def after_warmup(self, position: int, length: int) -> float:
        """Return the power of the factor."""
        return float(self.gamma ** (position // self.every))


@SCHEDULES.register("cosine")
class Cosine(Schedule):
    """Learning rate that falls along half a cosine, as ``CosineAnnealingLR`` over the length."""

    least: Annotated[
        float, Field(ge=0, lt=1, description="share of the learning rate that it falls to")
    ] = 0.0

    def after_warmup(self, position: int, length: int) -> float:
        """Return the value of the cosine."""
        share = (1 + math.cos(math.pi * min(position, length) / length)) / 2
        return self.least + (1 - self.least) * share


Factors = Annotated[
    tuple[Annotated[float, Field(ge=0)], ...],
    BeforeValidator(lambda value: tuple(value) if isinstance(value, list) else value),
]


@SCHEDULES.register("listed")
class Listed(Schedule):
    """Learning rate times a factor for each round or step, the last of them for all that follow."""

    factors: Annotated[
        Factors, Field(min_length=1, examples=[(1.0, 0.5, 0.25)], description="one for each")
    ]

    @model_validator(mode="after")
    def _moves(self) -> Listed:
        if not any(self.factors):
            raise ValueError("every factor is 0: expected one above 0")
        return self

    def after_warmup(self, position: int, length: int) -> float:
        """Return the factor of the position."""
        return float(self.factors[min(position, len(self.factors) - 1)])
