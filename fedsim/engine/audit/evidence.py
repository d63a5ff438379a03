"""Evidence against what an auditor stated: private data that do not explain their upload."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from torch import Tensor, nn

from fedsim.attacks import Attack, Observation
from fedsim.core.errors import FedsimError

Truths = Callable[[int, int], "tuple[Tensor, Tensor] | None"]


@dataclass(frozen=True, eq=False)
class Evidence:
    """One victim whose private data do not explain its upload.

    Attributes:
        attack: the attack, whose objective is the misfit.
        model: the model that was sent, in the assumed mode.
        observation: the observation.
        inputs: the private data ``(N, C, H, W)`` as the attack takes them.
        labels: their labels.
        arrays: the tensors of the upload, as they arrived.
        sent: the state of the model that was sent.
        earlier: the states that were sent in earlier rounds, the latest first.
        partition, server_round: the client and the round.
        clients: number of clients.
        truths: private data of any client in any round, or None.
    """

    attack: Attack
    model: nn.Module
    observation: Observation
    inputs: Tensor
    labels: Tensor
    arrays: Mapping[str, Tensor]
    sent: Mapping[str, Tensor]
    earlier: Sequence[Mapping[str, Tensor]]
    partition: int
    server_round: int
    clients: int
    truths: Truths

    def misfit(self) -> float:
        """Return the relative objective of the private data; infinite if it cannot be computed."""
        try:
            found = self.attack.relative_objective_of(
                self.model, self.observation, self.inputs, self.labels
            )
        except (FedsimError, RuntimeError, ValueError, IndexError):
            return float("inf")
        return float("inf") if found is None or math.isnan(found) else found

    def seen_as_inputs(self) -> Tensor:
        """Return the private data as the model takes them, by the stated normalisation."""
        scale = self.observation.scale.on(self.inputs)
        return scale.to_input(scale.from_data(self.inputs))

    def with_inputs(self, entered: Tensor) -> Evidence:
        """Return the evidence with other inputs of the model."""
        around = float(entered.min()) - 1, float(entered.max()) + 1
        bare = replace(self.observation, normalisation=None, value_range=around)
        return replace(self, observation=bare, inputs=entered)

    def with_gradient(self, gradient: Mapping[str, Tensor]) -> Evidence:
        """Return the evidence with another gradient."""
        return replace(self, observation=replace(self.observation, gradient=dict(gradient)))
