"""A strategy of a malicious server: it sends some clients a changed model."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import torch
from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Strategy
from torch import nn

from fedsim.core.errors import RunError
from fedsim.core.seeds import derive
from fedsim.data import Examples
from fedsim.models.blocks import BLOCK_KEY
from fedsim.scenario import AdversaryPlan, Scenario
from fedsim.server.delegate import Delegate
from fedsim.server.malicious.base import Changed, Manipulation, Public
from fedsim.server.uploads import Shapes

MOST_PUBLIC = 2000
"""Public examples on which a manipulation chooses its constants."""


@dataclass(frozen=True, eq=False)
class Sent:
    """A changed model that was sent in a round.

    Attributes:
        server_round: the round.
        partitions: the clients that it was sent to.
        arrays: its tensors.
        shapes: the shape of each tensor of an upload that answers it.
        changed: the model and the description of the change.
        accuracy: accuracy of the changed model on test data.
        honest_accuracy: accuracy of the honest model of the round.
    """

    server_round: int
    partitions: tuple[int, ...]
    arrays: ArrayRecord
    shapes: Shapes
    changed: Changed
    accuracy: float
    honest_accuracy: float


OnSent = Callable[[Sent], None]


def nothing_sent(sent: Sent) -> None:
    """Ignore a changed model."""


class Manipulating(Delegate):
    """Wraps a strategy and changes the model for the attacked clients in the attacked rounds.

    Uploads that answer a changed model do not reach the wrapped strategy: they do not fit the
    honest model, so that the server gives up these clients' training in these rounds. If no other
    uploads are left, the global model does not change.

    Args:
        strategy: the wrapped strategy.
        scenario: the scenario.
        plan: its adversary section.
        manipulation: changes the model.
        partitions: the partition of each node, by node id.
        architecture: the model, with any weights, in the clients' mode.
        public: public examples.
        accuracy: measures a model on test data.
        shapes_of: returns the shape of each tensor of an upload that answers a model.
        on_sent: called with each changed model, before it is sent.
    """

    def __init__(  # noqa: PLR0913  (each is one thing that it needs)
        self,
        strategy: Strategy,
        scenario: Scenario,
        plan: AdversaryPlan,
        manipulation: Manipulation,
        partitions: Mapping[int, int],
        architecture: nn.Module,
        public: Examples,
        *,
        accuracy: Callable[[nn.Module], float],
        shapes_of: Callable[[nn.Module], Shapes],
        on_sent: OnSent = nothing_sent,
    ) -> None:
        super().__init__(strategy)
        self._scenario, self._plan, self._partitions = scenario, plan, partitions
        self._architecture, self._public = copy.deepcopy(architecture), public
        self._accuracy, self._shapes_of, self._on_sent = accuracy, shapes_of, on_sent
        self._manipulation, self._honest = manipulation, ArrayRecord()
        self.sent: Sent | None = None

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Return the wrapped strategy's messages, with another model for the attacked clients."""
        messages = list(super().configure_train(server_round, arrays, config, grid))
        self._honest, self.sent = arrays, None
        if not self._plan.attacks(server_round):
            return messages
        asked = {m.metadata.dst_node_id: m for m in messages}
        victims = sorted(self._partitions[n] for n in asked if self._is_victim(n))
        if not victims:
            return messages
        self.sent = sent = self._change(server_round, arrays, tuple(victims))
        self._on_sent(sent)
        for node, message in asked.items():
            if self._partitions[node] in sent.partitions:
                message.content = _with(message.content, sent, self._manipulation.block)
        return messages

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Return the wrapped strategy's aggregate of the honest uploads."""
        replies = list(replies)
        if self.sent is None:
            return super().aggregate_train(server_round, replies)
        victims = self.sent.partitions
        others = [r for r in replies if self._partitions[r.metadata.src_node_id] not in victims]
        if others:
            return super().aggregate_train(server_round, others)
        return self._honest, MetricRecord({})

    def _is_victim(self, node: int) -> bool:
        group = self._scenario.group_of(self._partitions[node]).name
        return self._plan.victims == "all" or group in self._plan.victims

    def _change(self, server_round: int, arrays: ArrayRecord, victims: tuple[int, ...]) -> Sent:
        model = copy.deepcopy(self._architecture)
        model.load_state_dict(arrays.to_torch_state_dict())
        honest = self._accuracy(model)
        seed = derive(self._scenario.seed, "manipulation", server_round)
        samples = self._public.samples(MOST_PUBLIC)
        if samples is None:
            raise RunError("adversary.malicious: there are no public pictures to choose by")
        public = Public(samples[0], self._scenario.federation.batch_size, samples[1])
        generator = torch.Generator().manual_seed(seed)
        changed = self._manipulation.change(model, public, generator)
        return Sent(
            server_round,
            victims,
            ArrayRecord(changed.model.state_dict()),
            self._shapes_of(changed.model),
            changed,
            self._accuracy(changed.model),
            honest,
        )


def _with(content: RecordDict, sent: Sent, block: str | None) -> RecordDict:
    """Return a message's content with the changed model."""
    [key] = content.array_records
    [(config_key, config)] = content.config_records.items()
    named = ConfigRecord({**config, **({} if block is None else {BLOCK_KEY: block})})
    return RecordDict({key: sent.arrays, config_key: named})
