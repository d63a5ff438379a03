"""Plan of an audit: all that its user says about the app."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from torch import Tensor, nn

from fedsim.attacks import Assumptions
from fedsim.clients.defenses import Defense
from fedsim.core.errors import RunError
from fedsim.engine.audit.details import CROSS_ENTROPY, TrainingDetails
from fedsim.engine.audit.examples import Tensors
from fedsim.engine.audit.kept import KeptBatches
from fedsim.engine.audit.parts import OwnData, OwnModel, OwnSplit
from fedsim.models.losses import Loss
from fedsim.scenario import Scenario
from fedsim.scenario.aggregation import Aggregation

Truth = Callable[[int, int], tuple[Tensor, Tensor]]
"""``(partition, round)``: returns the examples that the client trains on in the round, as the model
takes them ``(N, ...)``, and their labels."""

CLIENTS = "clients"
"""Name of the client group of an audited app."""


@dataclass(frozen=True, eq=False)
class AuditPlan:
    """Plan of an audit.

    Attributes:
        architecture: the model in the clients' mode, with any weights. It takes pictures
            ``(N, C, H, W)`` after normalisation and returns one tensor.
        factory: name of the model.
        input_shape: shape of an example as the app's model takes it.
        loss: name of the loss.
        named_loss: the loss, if it is one that scenarios have.
        details: details of the local training.
        assumed: loss and normalisation.
        public: public examples, for the positive control and the blind guesses.
        public_said: description of the public examples.
        outputs: size of the model's output.
        uploads: content of the clients' replies.
        learning_rate: the clients' learning rate.
        batch_size: examples in a local step.
        local_steps: number of local steps; None for one, or if ``local_epochs`` gives it.
        local_epochs: number of passes over the client's examples, or None.
        optimizer: the clients' optimiser: a registered name, or a table of name and parameters.
        truth: function that returns a client's private examples, for scoring alone; or the batches
            that the clients kept; None if they are unknown.
        defenses: the clients' defenses, which an adaptive attacker knows.
        aggregation: the app's secure aggregation, of which only the sums are seen; None for none.
        attack: an attack, or a table of its name and parameters.
        rounds: the attacked rounds.
        clients: largest number of attacked clients in a round.
        time_limit_s: time limit of the attacks of a round, in seconds.
        seed: seed of the attacks.
    """

    architecture: nn.Module
    factory: str
    input_shape: tuple[int, ...]
    loss: str
    assumed: Assumptions
    public: Tensors
    public_said: str
    outputs: int
    uploads: Literal["weights", "gradients"]
    learning_rate: float
    batch_size: int
    local_steps: int | None
    local_epochs: int | None
    optimizer: Any
    truth: Truth | KeptBatches | None
    attack: Any
    rounds: Sequence[int]
    clients: int | None
    time_limit_s: float
    seed: int
    defenses: Sequence[Defense] = field(default=())
    named_loss: Loss | None = None
    details: TrainingDetails = field(default=TrainingDetails())
    aggregation: Aggregation | None = None

    def check(self) -> None:
        """Check the plan before anything starts.

        Raises:
            ScenarioError: a value is invalid; the message names the key.
            RunError: both the number of steps and of epochs are given, or neither is positive.
        """
        if self.local_steps is not None and self.local_epochs is not None:
            raise RunError("local_steps and local_epochs: give one of them")
        for name in ("local_steps", "local_epochs"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise RunError(f"{name} is {value}: expected at least 1")
        self.scenario("a strategy", 1, 1).to_toml()

    def scenario(self, strategy: str, rounds: int, clients: int) -> Scenario:
        """Return the scenario that describes the app in the run folder.

        Args:
            strategy: name of the wrapped strategy.
            rounds: number of rounds.
            clients: number of clients.

        Raises:
            ScenarioError: a value is invalid; the message names the key.
        """
        weights = self.uploads == "weights"
        return Scenario.from_tables(
            {
                "title": f"Audit of {self.factory} under {strategy}",
                "description": (
                    f"The clients and the strategy ({strategy}) are those of an audited app. "
                    "The local training, the loss and the normalisation are what the auditor "
                    f"stated. Public data: {self.public_said}."
                ),
                "seed": self.seed,
                "data": {"dataset": OwnData(public=self.public_said), "partition": OwnSplit()},
                "model": OwnModel(
                    factory=self.factory,
                    input_shape="x".join(map(str, self.input_shape)),
                    loss=self.loss,
                    mode="train" if self.architecture.training else "eval",
                ),
                "federation": {
                    "rounds": rounds,
                    "upload": "update" if weights else "gradient",
                    "batch_size": self.batch_size,
                    "local_steps": self.local_steps or 1,
                    "local_epochs": self.local_epochs,
                    "optimizer": self.optimizer,
                    "learning_rate": self.learning_rate,
                    "loss": self.named_loss or CROSS_ENTROPY,
                    **self.details.tables(),
                    "aggregation": self.aggregation or "plain",
                },
                "clients": [{"name": CLIENTS, "count": clients, "defenses": [*self.defenses]}],
                "adversary": {
                    "attack": self.attack,
                    "adaptive": bool(self.defenses),
                    "rounds": [*self.rounds],
                    "per_round": self.clients,
                    "time_limit_s": self.time_limit_s,
                },
            },
            "audit",
        )
