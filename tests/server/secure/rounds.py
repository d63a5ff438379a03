"""Rounds of a secure aggregation, with a spy on the server and clients that drop out."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from flwr.app import ArrayRecord, Context, Message
from flwr.clientapp import ClientApp
from flwr.common import bytes_to_ndarray
from flwr.serverapp.strategy import Result
from torch import Tensor

from fedsim.clients.app import make_client_app
from fedsim.clients.site import site_of
from fedsim.engine.inline import InlineGrid
from fedsim.scenario import Scenario
from fedsim.server.federation import federate
from fedsim.server.grids import DelegateGrid
from fedsim.server.uploads import Sum
from tests.server.wire import arrays_of, client_reply, global_weights

Fails = Callable[[int, str], bool]
"""``(partition, stage)``: whether the client drops out."""


class Spy(DelegateGrid):
    """Sees all that the server sends and gets."""

    def __init__(self, app: ClientApp, clients: int) -> None:
        super().__init__(InlineGrid(app, clients))
        self.replies: list[Message] = []
        self.asked: list[Message] = []

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> Iterable[Message]:
        sent = list(messages)
        self.asked += sent
        replies = list(super().send_and_receive(sent, timeout=timeout))
        self.replies += replies
        return replies

    def masked(self) -> dict[int, np.ndarray]:
        """Return the masked vectors that came, by partition."""
        found = {}
        for reply in self.replies:
            said = reply.content.config_records.get("secaggplus_configs", {})
            if "masked_params" in said:
                [_, vector] = [bytes_to_ndarray(b) for b in said["masked_params"]]
                found[reply.metadata.src_node_id - 1] = vector
        return found


@dataclass
class Seen:
    """What a run told its listeners."""

    sums: dict[int, Sum] = field(default_factory=dict)
    models: dict[int, Mapping[str, Tensor]] = field(default_factory=dict)
    accuracies: dict[int, float] = field(default_factory=dict)

    def on_sum(self, server_round: int, arrays: ArrayRecord, total: Sum) -> None:
        self.sums[server_round] = total
        self.models[server_round] = arrays.to_torch_state_dict()


def stage_of(message: Message) -> str:
    """Return the stage of a protocol that a message belongs to."""
    for record in message.content.config_records.values():
        if "stage" in record:
            return str(record["stage"])
    return ""


def dropping(scenario: Scenario, fails: Fails) -> ClientApp:
    """Return a scenario's app in which some clients fail at some stages."""
    honest, app = make_client_app(scenario.to_toml()), ClientApp()

    @app.train()
    def train(message: Message, context: Context) -> Message:
        if fails(int(context.node_config["partition-id"]), stage_of(message)):
            raise OSError("out of battery")
        return honest(message, context)

    app.query()(honest)
    return app


def train(scenario: Scenario, app: ClientApp | None = None) -> tuple[Result, Seen, Spy]:
    """Run all rounds of a scenario."""
    site, seen = site_of(scenario.to_toml()), Seen()
    spy = Spy(app or make_client_app(scenario.to_toml()), scenario.num_clients)
    result = federate(
        spy,
        scenario,
        site.model(global_weights(scenario)),
        site.dataset.test,
        on_uploads=lambda *_: None,
        on_round=seen.accuracies.__setitem__,
        on_sum=seen.on_sum,
        sizes=[len(own) for own in site.partitions],
    )
    return result, seen, spy


def plain_uploads(scenario: Scenario, partitions: Iterable[int]) -> list[dict[str, Tensor]]:
    """Return what these clients of a scenario would upload in its first round in the clear."""
    clear = Scenario.from_toml(scenario.to_toml(), "plain", ["federation.aggregation=plain"])
    return [arrays_of(client_reply(clear, p)) for p in partitions]


def mean_of(uploads: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Return the mean of uploads, in doubles."""
    return {k: torch.stack([u[k].double() for u in uploads]).mean(0) for k in uploads[0]}
