"""Settings of a ladder: the easiest one, and what changes from rung to rung."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from fedsim.engine.audit.details import TrainingDetails, said_in_words
from fedsim.engine.audit.plan import AuditPlan
from fedsim.engine.ladder.simplify import ACTIVATIONS, POOLINGS, depends_on_mode, used

SOME = 4
"""Batch size of the rung between one example and a large batch."""


@dataclass(frozen=True)
class Setting:
    """One setting in which public examples are trained on and attacked.

    Attributes:
        batch_size: examples in a local step.
        local_steps: number of local steps; None if ``local_epochs`` gives it.
        local_epochs: number of passes over the examples, or None.
        examples: number of different examples.
        optimizer: the optimiser, or a table of name and parameters.
        uploads: ``gradients`` or ``weights``.
        training: whether the layers are in train mode.
        activation: names of the activations; None where GELU takes their place.
        pooling: names of the max poolings; None where average pooling takes their place.
        details: schedule, clipping, FedProx's term and augmentation.
    """

    batch_size: int = 1
    local_steps: int | None = 1
    local_epochs: int | None = None
    examples: int = 1
    optimizer: Any = "sgd"
    uploads: str = "gradients"
    training: bool = False
    activation: tuple[str, ...] | None = None
    pooling: tuple[str, ...] | None = None
    details: TrainingDetails = TrainingDetails()  # noqa: RUF009  (frozen)

    @property
    def steps(self) -> int:
        """Number of local steps."""
        per_epoch = -(-self.examples // self.batch_size)
        return self.local_steps or (self.local_epochs or 1) * per_epoch

    @property
    def taken(self) -> int:
        """Number of examples that all steps take together."""
        return (self.local_epochs or 1) * self.examples

    def words(self) -> dict[str, str]:
        """Return the setting in words by key."""
        passes = f" ({counted(self.local_epochs, 'epoch')})" if self.local_epochs else ""
        return {
            "batch size": str(self.batch_size),
            "local steps": f"{self.steps}{passes}",
            "optimizer": said_in_words(self.optimizer),
            "upload": "gradient" if self.uploads == "gradients" else "weights",
            "mode": "train" if self.training else "eval",
            "activation": "smooth" if self.activation is None else "own",
            "pooling": "average" if self.pooling is None else "own",
            "training": ", ".join(self.details.words()) or "plain",
        }


Step = tuple[str, Setting]
"""Change from the step before, and the setting."""


def settings_of(plan: AuditPlan, example: Tensor, examples: int) -> list[Step]:
    """Return the settings of a ladder, the easiest first; each differs in one thing.

    Args:
        plan: the setting that is run.
        example: inputs of the model ``(N, C, H, W)``, to find its activations and poolings.
        examples: number of examples of a client that trains whole epochs.
    """
    return list(_climbing(plan, example, examples))


def _climbing(plan: AuditPlan, example: Tensor, examples: int) -> Iterator[Step]:
    activation = tuple(used(plan.architecture, example, ACTIVATIONS))
    pooling = tuple(used(plan.architecture, example, POOLINGS))
    now = Setting(activation=None if activation else (), pooling=None if pooling else ())
    easy = ["one example, one step of plain SGD, its gradient, eval mode"]
    easy += [f"GELU for {_listed(activation)}"] if activation else []
    easy += ["average for max pooling"] if pooling else []
    yield ", ".join(easy), now
    if activation:
        now = replace(now, activation=activation)
        yield f"its own activation ({_listed(activation)})", now
    if pooling:
        now = replace(now, pooling=pooling)
        yield f"its own pooling ({_listed(pooling)})", now
    if plan.uploads == "weights":
        now = replace(now, uploads="weights")
        yield "weights after the step, not the gradient", now
    for size in (SOME, plan.batch_size):
        if 1 < size <= plan.batch_size and size > now.batch_size:
            now = replace(now, batch_size=size, examples=size)
            yield f"batches of {size}", now
    if plan.architecture.training and depends_on_mode(plan.architecture):
        now = replace(now, training=True)
        yield "train mode of BatchNorm and dropout", now
    last = final_setting(plan, now, examples)
    if last.steps > 1:
        passes = f" ({counted(last.local_epochs, 'epoch')})" if last.local_epochs else ""
        now = replace(last, optimizer="sgd")
        yield f"{last.steps} local steps{passes}", now
    if not is_plain(plan.optimizer):
        now = replace(now, optimizer=plan.optimizer)
        yield f"its own optimizer ({said_in_words(plan.optimizer)})", now
    for details in plan.details.one_by_one():
        now = replace(now, details=details)
        yield details.words()[-1], now


def final_setting(plan: AuditPlan, now: Setting, examples: int) -> Setting:
    """Return a setting with the local training of the plan."""
    if plan.local_epochs is not None:
        return replace(
            now,
            local_steps=None,
            local_epochs=plan.local_epochs,
            examples=max(examples, plan.batch_size),
            optimizer=plan.optimizer,
        )
    steps = plan.local_steps or 1
    return replace(
        now, local_steps=steps, examples=plan.batch_size * steps, optimizer=plan.optimizer
    )


def is_plain(optimizer: Any) -> bool:
    """Return whether an optimiser is SGD without momentum and weight decay."""
    if isinstance(optimizer, str):
        return optimizer == "sgd"
    named = isinstance(optimizer, Mapping) and optimizer.get("name") == "sgd"
    return named and not any(v for k, v in optimizer.items() if k != "name")


def counted(number: int | None, noun: str) -> str:
    """Return a number with its noun."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(names)
