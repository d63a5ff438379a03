"""Details of the clients' local training, by the names that scenarios give them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from pydantic import ValidationError

from fedsim.core.errors import RunError
from fedsim.core.registry import LOSSES
from fedsim.models.losses import Loss

CONSTANT = "constant"

CROSS_ENTROPY = "cross-entropy"
WATCHED = "cross_entropy"
"""Name of the cross-entropy in a watched training."""

L2 = 2.0
"""Kind of the norm for clipping that attacks follow."""


@dataclass(frozen=True)
class TrainingDetails:
    """All that clients do in their local training beside the optimiser and its steps.

    Attributes:
        schedule: schedule of the learning rate: a registered name, or a table of name and
            parameters.
        max_grad_norm: L2 norm to which the gradient of a step is clipped; None for no clipping.
        proximal_mu: weight of FedProx's proximal term.
        augmentations: random changes of the pictures: names, or tables.
    """

    schedule: Any = CONSTANT
    max_grad_norm: float | None = None
    proximal_mu: float = 0.0
    augmentations: Sequence[Any] = ()

    def tables(self) -> dict[str, Any]:
        """Return the entries of a scenario's table of the federation."""
        return {
            "schedule": self.schedule,
            "max_grad_norm": self.max_grad_norm,
            "proximal_mu": self.proximal_mu,
            "augmentations": [*self.augmentations],
        }

    def words(self) -> list[str]:
        """Return the deviations from a plain training in words, in the order of `one_by_one`."""
        said = []
        if self.schedule != CONSTANT:
            said.append(f"its schedule of the learning rate ({said_in_words(self.schedule)})")
        if self.max_grad_norm is not None:
            said.append(f"gradients clipped to the norm {self.max_grad_norm:g}")
        if self.proximal_mu:
            said.append(f"FedProx's term of weight {self.proximal_mu:g}")
        if self.augmentations:
            names = ", ".join(map(said_in_words, self.augmentations))
            said.append(f"pictures changed at random ({names})")
        return said

    def one_by_one(self) -> Iterator[TrainingDetails]:
        """Yield details with one deviation from a plain training more each time."""
        now = plain = TrainingDetails()
        for each in fields(self):
            if getattr(self, each.name) != getattr(plain, each.name):
                now = replace(now, **{each.name: getattr(self, each.name)})
                yield now


def said_in_words(table: Any) -> str:
    """Return a registered name, or a table of name and parameters, in words."""
    if not isinstance(table, Mapping):
        return str(table)
    values = [f"{k} {v}" for k, v in table.items() if k != "name" and v]
    return " ".join([str(table.get("name")), ", ".join(values)]).strip()


def named_loss(loss: object) -> Loss | None:
    """Return a loss of scenarios; None for one that is not given by its name.

    Args:
        loss: a registered name, a table of name and parameters, a loss of scenarios, or anything
            else.

    Raises:
        FedsimError: there is no such loss, or a parameter is invalid.
    """
    if isinstance(loss, Loss):
        return loss
    if not isinstance(loss, str | Mapping):
        return None
    table = {"name": loss} if isinstance(loss, str) else dict(loss)
    name = table.pop("name", CROSS_ENTROPY)
    try:
        found: Loss = LOSSES.get(name)(**table)
    except ValidationError as error:
        [first, *_] = error.errors()
        key = ".".join(["loss", *map(str, first["loc"])])
        raise RunError(f"{key}: {first['msg']}") from None
    return found


def details_in(
    facts: Mapping[str, Any], stated: Mapping[str, Any], learning_rate: float
) -> TrainingDetails:
    """Return the details that an auditor stated, and otherwise those of a watched training.

    Args:
        facts: facts of the training (`fedsim.AuditMod`), or nothing.
        stated: what the auditor stated, by name; None for what was left out.
        learning_rate: the learning rate as stated, of which the schedule is a multiple.
    """
    seen: dict[str, Any] = {}
    if "rates" in facts:
        factors = [rate / learning_rate for rate in facts["rates"]]
        seen["schedule"] = {"name": "listed", "over": "steps", "factors": factors}
    if facts.get("norm_type") == L2:
        seen["max_grad_norm"] = facts["max_grad_norm"]
    if "proximal_mu" in facts:
        seen["proximal_mu"] = facts["proximal_mu"]
    return TrainingDetails(**{**seen, **{k: v for k, v in stated.items() if v is not None}})


def loss_in(facts: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the cross-entropy of a watched training with its settings; None for another loss."""
    if facts.get("loss", WATCHED) != WATCHED:
        return None
    return {"name": CROSS_ENTROPY, **{k: facts[k] for k in ("smoothing", "weights") if k in facts}}
