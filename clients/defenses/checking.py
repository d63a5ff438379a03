"""Base class of checks: defenses by which a client notices a malicious server."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Annotated, ClassVar, Literal

from pydantic import Field
from torch import Tensor, nn

from fedsim.clients.defenses.base import BatchLoss, Defense
from fedsim.core.checked import checked
from fedsim.core.registry import DEFENSES
from fedsim.models import cross_entropy

Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True, eq=False)
class Received:
    """A received model, and the client's own knowledge to check it with.

    Attributes:
        weights: the received tensors by name.
        expected: shapes of the tensors of the client's own model.
        model: returns the received model, in the client's mode; None if only tensors are known.
        batch: returns the batch to train on, inputs and labels; None if it is unknown.
        others: hashes of the models that other clients vouch for having received, by client; None
            if the server relays none.
        announced: hash of the model that the client itself announced in this round; None if none.
        remembered: numbers that the check kept from the models before; empty at first.
        loss: the client's mean loss over a batch, of outputs and labels.
    """

    weights: Mapping[str, Tensor]
    expected: Shapes
    model: Callable[[], nn.Module] | None = None
    batch: Callable[[], tuple[Tensor, Tensor]] | None = None
    others: Mapping[int, bytes] | None = None
    announced: bytes | None = None
    remembered: Mapping[str, float] = field(default_factory=dict)
    loss: BatchLoss = cross_entropy


@dataclass(frozen=True)
class Finding:
    """Result of a check of one received model.

    Attributes:
        problem: reason for suspicion, or None.
        did: measures of the check by name.
        kept: numbers to remember at the next model.
    """

    problem: str | None
    did: Mapping[str, float] = field(default_factory=dict)
    kept: Mapping[str, float] = field(default_factory=dict)


@checked
class Check(Defense):
    """A check of a received model, before the client trains on it.

    It changes neither batch nor upload. On suspicion the client refuses the round, or warns: then
    it trains as asked, and its report says so.
    """

    identity: ClassVar[Mapping[str, object] | None] = {}

    needs_data: ClassVar[bool] = False
    """Whether it needs the model and the client's batch, besides the received tensors."""

    accuses: ClassVar[bool] = True
    """Whether it suspects the server. If not, it finds a leak, whoever is to blame, and its alarm
    on an honest model is not a false one."""

    remembers: ClassVar[bool] = False
    """Whether it remembers numbers from one model to the next, in the client's Flower state."""

    action: Annotated[
        Literal["refuse", "warn"], Field(description="what the client does on suspicion")
    ] = "refuse"

    @abstractmethod
    def examine(self, received: Received) -> Finding:
        """Return the finding of the check in a received model, which is not modified."""


@dataclass(frozen=True)
class Examined:
    """Results of all checks of a client.

    Attributes:
        refused: reason to refuse the round, which names the check; None to train.
        did: measures of each check by its position among the defenses, with ``flagged`` 0 or 1.
        kept: numbers that a check remembers, by its position; without those that keep none.
    """

    refused: str | None
    did: Mapping[int, Mapping[str, float]]
    kept: Mapping[int, Mapping[str, float]] = field(default_factory=dict)


NOT_EXAMINED = Examined(None, {})
"""Result without any check."""


def examined(
    defenses: Sequence[Defense],
    received: Received,
    remembered: Mapping[int, Mapping[str, float]] = MappingProxyType({}),
) -> Examined:
    """Return the results of the checks among a client's defenses, in their order.

    Args:
        defenses: the client's defenses.
        received: the model, and the client's knowledge.
        remembered: numbers that a check kept from the models before, by its position.
    """
    did: dict[int, Mapping[str, float]] = {}
    kept: dict[int, Mapping[str, float]] = {}
    for position, check in enumerate(defenses):
        if not isinstance(check, Check):
            continue
        # What refuses by the batch withdraws an epsilon, so no other check gets to see it.
        seen = received if check.needs_data else replace(received, model=None, batch=None)
        found = check.examine(replace(seen, remembered=remembered.get(position, {})))
        if found.kept:
            kept[position] = found.kept
        did[position] = {**found.did, "flagged": float(found.problem is not None)}
        if found.problem is not None and check.action == "refuse":
            return Examined(f"refused by {DEFENSES.name_of(check)}: {found.problem}", did, kept)
    return Examined(None, did, kept)
