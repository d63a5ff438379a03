"""Messages between a server and clients, without a network between them."""

from collections.abc import Mapping

import torch
from flwr.app import ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from torch import Tensor

from fedsim.clients.app import make_client_app
from fedsim.clients.site import site_of
from fedsim.engine.flower import identify_task
from fedsim.scenario import Scenario


def train_message(
    arrays: Mapping[str, Tensor], server_round: int | str = 1, node: int = 1
) -> Message:
    """Return the message with which the server sends the global model to a node."""
    identify_task()
    content = RecordDict(
        {
            "arrays": ArrayRecord(dict(arrays)),
            "config": ConfigRecord({"server-round": server_round}),
        }
    )
    return Message(content, dst_node_id=node, message_type="train")


def reply_of(
    arrays: Mapping[str, Tensor] | ArrayRecord,
    *,
    node: int = 1,
    examples: float = 1,
    **metrics: float,
) -> Message:
    """Return a node's reply with these arrays."""
    record = arrays if isinstance(arrays, ArrayRecord) else ArrayRecord(dict(arrays))
    numbers = MetricRecord({"num-examples": examples, **metrics})
    content = RecordDict({"arrays": record, "metrics": numbers})
    return Message(content, reply_to=train_message({}, node=node))


def context_of(partition: int, clients: int = 3) -> Context:
    """Return the context of the node that holds a partition."""
    return Context(
        run_id=1,
        node_id=partition + 1,
        node_config={"partition-id": partition, "num-partitions": clients},
        state=RecordDict(),
        run_config={},
    )


def global_weights(scenario: Scenario) -> dict[str, Tensor]:
    """Return the weights with which a scenario's run begins."""
    return dict(site_of(scenario.to_toml()).architecture.state_dict())


def client_reply(scenario: Scenario, partition: int = 0, server_round: int = 1) -> Message:
    """Return what one of a scenario's clients replies to the first global model."""
    message = train_message(global_weights(scenario), server_round, node=partition + 1)
    app = make_client_app(scenario.to_toml())
    return app(message, context_of(partition, scenario.num_clients))


def arrays_of(reply: Message) -> dict[str, Tensor]:
    """Return the tensors of a reply."""
    return dict(reply.content.array_records["arrays"].to_torch_state_dict())


def same(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    """Return whether both hold the same tensors bit for bit."""
    return set(one) == set(other) and all(torch.equal(one[k], other[k]) for k in one)
