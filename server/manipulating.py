"""A strategy of a malicious server: it sends some clients a changed model."""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Strategy
from torch import nn

from fedsim.core.arrays import record_of, tensors_of
from fedsim.core.seeds import derive
from fedsim.data import Examples
from fedsim.models.blocks import BLOCK_KEY
from fedsim.scenario import AdversaryPlan, Scenario
from fedsim.server.delegate import Delegate
from fedsim.server.malicious.base import Changed, Manipulation, Public
from fedsim.server.malicious.isolating import Isolating, Isolation
from fedsim.server.uploads import Shapes

MOST_PUBLIC = 2000
"""Public examples on which a manipulation chooses its constants."""


@dataclass(frozen=True, eq=False)
class Sent:
    """A changed model that was sent in a round.

    Attributes:
        server_round: the round.
        partitions: the clients whose uploads are read.
        arrays: the tensors of the model as which they are read; what these clients received, if
            `isolation` is None.
        shapes: the shape of each tensor of an upload that answers it.
        gradients: names of the tensors of an upload that are gradients, not values.
        changed: the model and the description of the change.
        accuracy: accuracy of the changed model on test data.
        honest_accuracy: accuracy of the honest model of the round.
        isolation: deeds of the server to take single uploads out of a secure sum, or None.
        wire_shapes: shapes of the tensors that clients upload under an isolation.
        letter: letter of the adversary; see `Manipulation.letter`.
    """

    server_round: int
    partitions: tuple[int, ...]
    arrays: ArrayRecord
    shapes: Shapes
    gradients: frozenset[str]
    changed: Changed
    accuracy: float
    honest_accuracy: float
    isolation: Isolation | None = None
    wire_shapes: Shapes = field(default_factory=dict)
    letter: str | None = None

    @property
    def receivers(self) -> tuple[int, ...]:
        """All clients whose uploads answer another model than the honest one, or serve it."""
        if self.isolation is None:
            return self.partitions
        return tuple(sorted(self.isolation.models))

    @property
    def sent_shapes(self) -> Shapes:
        """The shape of each tensor that a client uploads."""
        return self.shapes if self.isolation is None else self.wire_shapes


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
        gradients_of: returns the names of the gradients in such an upload.
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
        gradients_of: Callable[[nn.Module], Collection[str]],
        on_sent: OnSent = nothing_sent,
    ) -> None:
        super().__init__(strategy)
        self._scenario, self._plan, self._partitions = scenario, plan, partitions
        self._architecture, self._public = copy.deepcopy(architecture), public
        self._accuracy, self._shapes_of, self._on_sent = accuracy, shapes_of, on_sent
        self._gradients_of = gradients_of
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
        cohort = sorted(self._partitions[n] for n in asked)
        self.sent = sent = self._change(server_round, arrays, tuple(victims), tuple(cohort))
        self._on_sent(sent)
        own = _models_of(sent)
        for node, message in asked.items():
            if self._partitions[node] in own:
                record = own[self._partitions[node]]
                message.content = _with(message.content, record, self._manipulation.block)
        if sent.isolation is None:
            return messages
        return [m for m in messages if self._partitions[m.metadata.dst_node_id] in own]

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Return the wrapped strategy's aggregate of the honest uploads."""
        replies = list(replies)
        if self.sent is None:
            return super().aggregate_train(server_round, replies)
        victims = self.sent.receivers
        others = [r for r in replies if self._partitions[r.metadata.src_node_id] not in victims]
        if others:
            return super().aggregate_train(server_round, others)
        return self._honest, MetricRecord({})

    def _is_victim(self, node: int) -> bool:
        group = self._scenario.group_of(self._partitions[node]).name
        return self._plan.victims == "all" or group in self._plan.victims

    def _change(
        self,
        server_round: int,
        arrays: ArrayRecord,
        victims: tuple[int, ...],
        cohort: tuple[int, ...],
    ) -> Sent:
        model = copy.deepcopy(self._architecture)
        model.load_state_dict(tensors_of(arrays))
        honest = self._accuracy(model)
        seed = derive(self._scenario.seed, "manipulation", server_round)
        samples = self._public.samples(MOST_PUBLIC)
        if samples is None:  # texts, as a client would get them
            samples = self._public.batch(np.arange(min(len(self._public), MOST_PUBLIC)))
        classes = samples[1] if self._public.targets is None else None
        public = Public(samples[0], self._scenario.federation.batch_size, classes)
        generator = torch.Generator().manual_seed(seed)
        changed = self._manipulation.change(model, public, generator)
        isolation, sent_model = None, changed.model
        if isinstance(self._manipulation, Isolating):
            isolation = self._manipulation.isolate(changed, victims, cohort, public, generator)
            others = [m for c, m in isolation.models.items() if c not in isolation.victims]
            sent_model = (others or list(isolation.models.values()))[0]
        return Sent(
            server_round,
            victims if isolation is None else isolation.victims,
            record_of(changed.model.state_dict()),
            self._shapes_of(changed.model),
            frozenset(self._gradients_of(changed.model)),
            changed,
            self._accuracy(sent_model),
            honest,
            isolation,
            self._shapes_of(sent_model),
            self._manipulation.letter,
        )


def _models_of(sent: Sent) -> Mapping[int, ArrayRecord]:
    """Return the model that each client receives, if it is not the honest one."""
    if sent.isolation is None:
        return dict.fromkeys(sent.partitions, sent.arrays)
    models = sent.isolation.models
    records = {id(m): record_of(m.state_dict()) for m in models.values()}
    return {client: records[id(m)] for client, m in models.items()}


def _with(content: RecordDict, arrays: ArrayRecord, block: str | None) -> RecordDict:
    """Return a message's content with a changed model."""
    [key] = content.array_records
    [(config_key, config)] = content.config_records.items()
    named = ConfigRecord({**config, **({} if block is None else {BLOCK_KEY: block})})
    return RecordDict({key: arrays, config_key: named})
