"""A small Flower app of somebody else's, and its audit."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp.strategy import FedAvg, Result, Strategy
from torch import Tensor, nn

import fedsim
from fedsim.engine.audit import Audit
from fedsim.engine.inline import InlineGrid
from fedsim.log.run import Run

SHAPE = (1, 8, 8)
CLASSES = 4
RATE = 0.1
CLIENTS = 3

Batch = tuple[Tensor, Tensor]
Change = Callable[[dict[str, Tensor]], dict[str, Tensor]]


class Net(nn.Module):
    """A dense network with a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(64, 16)
        self.norm = nn.BatchNorm1d(16, affine=False)
        self.last = nn.Linear(16, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        hidden: Tensor = self.norm(self.first(x.flatten(1)).tanh())
        out: Tensor = self.last(hidden)
        return out


def plain() -> nn.Module:
    """Return a dense network, made from the global random state as users do."""
    layers = (nn.Flatten(), nn.Linear(64, 16), nn.Tanh(), nn.Linear(16, CLASSES))
    return nn.Sequential(*layers)


def batch(partition: int, server_round: int, size: int = 1) -> Batch:
    """Return a client's private batch of a round."""
    generator = torch.Generator().manual_seed(100 * partition + server_round)
    inputs = torch.rand((size, *SHAPE), generator=generator)
    return inputs, torch.randint(CLASSES, (size,), generator=generator)


Data = Callable[[int, int], Batch]


def keep(arrays: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the arrays as they are."""
    return arrays


def app(
    model: Callable[[], nn.Module] = plain,
    data: Data = batch,
    *,
    gradients: bool = False,
    change: Change = keep,
    metrics: Callable[[int], dict[str, Any]] = lambda partition: {},
    loss: Callable[[Any, Tensor], Tensor] = F.cross_entropy,
    training: bool = True,
) -> ClientApp:
    """Return the app of clients that take one step of SGD.

    Args:
        model: makes the model.
        data: the batch of a partition and a round.
        gradients: whether they reply with the gradient.
        change: change to the arrays of a reply.
        metrics: further metrics of a partition.
        loss: the loss.
        training: whether the model is in training mode.
    """
    client = ClientApp()

    @client.train()
    def train(message: Message, context: Context) -> Message:
        partition = int(context.node_config["partition-id"])
        net = model().train(training)
        net.load_state_dict(message.content["arrays"].to_torch_state_dict())
        inputs, labels = data(partition, int(message.content["config"]["server-round"]))
        value = loss(net(inputs), labels)
        value.backward()
        torch.optim.SGD(net.parameters(), lr=RATE).step()
        found = {k: v.detach() for k, v in net.state_dict().items()}
        if gradients:
            found = {k: p.grad for k, p in net.named_parameters() if p.grad is not None}
        said = {"num-examples": len(labels), "loss": float(value.detach()), **metrics(partition)}
        content = RecordDict({"arrays": ArrayRecord(change(found)), "metrics": MetricRecord(said)})
        return Message(content, reply_to=message)

    return client


def train(
    strategy: Strategy,
    client: ClientApp | None = None,
    model: Callable[[], nn.Module] = plain,
    rounds: int = 1,
) -> Result:
    """Train on the inline grid, from the same random states each time."""
    torch.manual_seed(3)
    random.seed(3)
    initial = ArrayRecord(model().state_dict())
    return strategy.start(InlineGrid(client or app(model), CLIENTS), initial, num_rounds=rounds)


def audited(folder: Path, strategy: Strategy | None = None, **arguments: Any) -> Audit:
    """Return the audit of a strategy in a new folder."""
    given: dict[str, Any] = {
        "model": plain,
        "input_shape": SHAPE,
        "learning_rate": RATE,
        "truth": batch,
        "evaluations": 5,
        **arguments,
    }
    return fedsim.audit(strategy or fedavg(), out=folder, **given)


def fedavg() -> FedAvg:
    """Return FedAvg without evaluation."""
    return FedAvg(fraction_evaluate=0.0)


def notes(folder: Path) -> list[str]:
    """Return the remarks of a run folder."""
    return [text for _, _, text in Run.read(folder).summary.notes]
