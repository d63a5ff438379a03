"""An app of the shape of Flower's PyTorch quickstart, with data at hand.

``python -m tests.fedsim.engine.audit.quickstart FOLDER`` writes it, and with ``--secure`` the same
training under SecAgg+. Model, training, batch size, strategy, configuration and module names are
those of ``flwr new @flwrlabs/quickstart-pytorch``; the code is our own. The data are pictures of
clothes, in colour and at 32 x 32, for those of CIFAR-10, which must be downloaded.
"""

import sys
from pathlib import Path

PYPROJECT = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "quickstart-pytorch"
version = "1.0.0"
description = "Federated learning with PyTorch and Flower"
license = "Apache-2.0"
dependencies = ["flwr[simulation]>=1.26.1", "torch==2.7.1"]

[tool.hatch.build.targets.wheel]
packages = ["."]

[tool.flwr.app]
publisher = "somebody"

[tool.flwr.app.components]
serverapp = "pytorchexample.server_app:app"
clientapp = "pytorchexample.client_app:app"

[tool.flwr.app.config]
num-server-rounds = 3
fraction-evaluate = 0.5
local-epochs = 1
learning-rate = 0.1
batch-size = 32
"""

TASK = '''
"""pytorchexample: a model, its data and its training."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, Dataset

MOST = None


class Net(nn.Module):
    """A small network of two convolutions and three dense layers."""

    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 6, 5), nn.Conv2d(6, 16, 5)
        self.fc1, self.fc2, self.fc3 = nn.Linear(400, 120), nn.Linear(120, 84), nn.Linear(84, 10)

    def forward(self, x):
        for convolution in (self.conv1, self.conv2):
            x = F.max_pool2d(F.relu(convolution(x)), 2)
        x = x.flatten(1)
        for dense in (self.fc1, self.fc2):
            x = F.relu(dense(x))
        return self.fc3(x)


class Clothes(Dataset):
    """Pictures by index, normalised with mean and standard deviation 0.5."""

    def __init__(self, part, rows=None):
        from fedsim.data import FashionMnistMini

        self.split = getattr(FashionMnistMini().load(None), part)
        self.rows = torch.arange(len(self.split)) if rows is None else rows

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, place):
        images, labels = self.split.batch(self.rows[place].reshape(1).numpy())
        image = F.interpolate(images, (32, 32))[0].expand(3, -1, -1)
        return {"img": (image - 0.5) / 0.5, "label": labels[0]}


def load_data(number, clients, batch_size):
    """Return the loaders of a client: 80 % of its share to train, 20 % to test."""
    every = torch.randperm(len(Clothes("train")), generator=torch.Generator().manual_seed(42))
    own = every[number::clients]
    cut = int(0.8 * len(own))
    kept, held_out = Clothes("train", own[:cut][:MOST]), Clothes("train", own[cut:])
    shuffled = DataLoader(kept, batch_size=batch_size, shuffle=True)
    return shuffled, DataLoader(held_out, batch_size=batch_size)


def train(net, loader, epochs, lr, device):
    """Train the model for some epochs; return the mean loss of a step."""
    costs = []
    steps = torch.optim.SGD(net.to(device).train().parameters(), lr=lr, momentum=0.9)
    for batch in [b for _ in range(epochs) for b in loader]:
        outputs = net(batch["img"].to(device))
        cost = nn.CrossEntropyLoss()(outputs, batch["label"].to(device))
        steps.zero_grad()
        cost.backward()
        steps.step()
        costs.append(cost.item())
    return sum(costs) / len(costs)


@torch.no_grad()
def test(net, loader, device):
    """Return the mean loss and the accuracy."""
    costs, hits = [], []
    for batch in loader:
        outputs, labels = net.to(device)(batch["img"].to(device)), batch["label"].to(device)
        costs.append(float(F.cross_entropy(outputs, labels)))
        hits += (outputs.argmax(1) == labels).tolist()
    return sum(costs) / len(costs), sum(hits) / len(hits)
'''

CLIENT = '''
"""pytorchexample: the clients."""

import torch
from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from pytorchexample import task

app = ClientApp()
DEVICE = torch.device("cuda:0" if torch.cuda.is_available() else "cpu")


def given(msg, context):
    """Return the received model, and the loaders of the client."""
    net = task.Net()
    net.load_state_dict(msg.content["arrays"].to_torch_state_dict())
    place, settings = context.node_config, context.run_config
    return net, *task.load_data(
        place["partition-id"], place["num-partitions"], settings["batch-size"]
    )


@app.train()
def train(msg: Message, context: Context):
    """Return the model after local training."""
    net, loader, _ = given(msg, context)
    epochs, rate = context.run_config["local-epochs"], msg.content["config"]["lr"]
    loss = task.train(net, loader, epochs, rate, DEVICE)
    metrics = MetricRecord({"train_loss": loss, "num-examples": len(loader.dataset)})
    content = {"arrays": ArrayRecord(net.state_dict()), "metrics": metrics}
    return Message(RecordDict(content), reply_to=msg)


@app.evaluate()
def evaluate(msg: Message, context: Context):
    """Return loss and accuracy on held-out data."""
    net, _, loader = given(msg, context)
    loss, accuracy = task.test(net, loader, DEVICE)
    found = {"eval_loss": loss, "eval_acc": accuracy, "num-examples": len(loader.dataset)}
    return Message(RecordDict({"metrics": MetricRecord(found)}), reply_to=msg)
'''

SERVER = '''
"""pytorchexample: the server."""

import torch
from flwr.app import ArrayRecord, ConfigRecord, Context, MetricRecord
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg

from pytorchexample.task import Clothes, DataLoader, Net, test

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context):
    """Train for some rounds, and save the model."""
    settings = context.run_config
    fraction_evaluate, lr = settings["fraction-evaluate"], settings["learning-rate"]
    strategy = FedAvg(fraction_evaluate=fraction_evaluate)
    result = strategy.start(
        grid,
        ArrayRecord(Net().state_dict()),
        num_rounds=settings["num-server-rounds"],
        train_config=ConfigRecord({"lr": lr}),
        evaluate_fn=measured,
    )
    torch.save(result.arrays.to_torch_state_dict(), "final_model.pt")


def measured(server_round: int, arrays: ArrayRecord):
    """Return loss and accuracy of the global model on central data."""
    net = Net()
    net.load_state_dict(arrays.to_torch_state_dict())
    loss, accuracy = test(net, DataLoader(Clothes("test"), batch_size=128), torch.device("cpu"))
    return MetricRecord({"loss": loss, "accuracy": accuracy})
'''

SECURE_CLIENT = '''
"""pytorchexample: the clients, whose uploads Flower's mod masks."""

import torch
from flwr.client import NumPyClient
from flwr.client.mod import secaggplus_mod
from flwr.clientapp import ClientApp
from flwr.common import Context

from pytorchexample import task

CPU = torch.device("cpu")


class Trainer(NumPyClient):
    """Trains and tests on local data, with weights as arrays."""

    def __init__(self, context):
        place, self.settings = context.node_config, context.run_config
        size = self.settings["batch-size"]
        self.loaders = task.load_data(place["partition-id"], place["num-partitions"], size)

    def given(self, arrays):
        net = task.Net()
        net.load_state_dict(dict(zip(net.state_dict(), map(torch.tensor, arrays), strict=True)))
        return net

    def fit(self, parameters, config):
        net, loader = self.given(parameters), self.loaders[0]
        epochs, rate = self.settings["local-epochs"], self.settings["learning-rate"]
        loss = task.train(net, loader, epochs, rate, CPU)
        arrays = [tensor.numpy() for tensor in net.state_dict().values()]
        return arrays, len(loader.dataset), {"train_loss": loss}

    def evaluate(self, parameters, config):
        loader = self.loaders[1]
        loss, accuracy = task.test(self.given(parameters), loader, CPU)
        return loss, len(loader.dataset), {"accuracy": accuracy}


app = ClientApp(client_fn=lambda context: Trainer(context).to_client(), mods=[secaggplus_mod])
'''

SECURE_SERVER = '''
"""pytorchexample: the server, which sees the sum of the uploads alone."""

from flwr.common import Context, ndarrays_to_parameters
from flwr.server import LegacyContext, ServerConfig
from flwr.server.strategy import FedAvg
from flwr.server.workflow import DefaultWorkflow, SecAggPlusWorkflow
from flwr.serverapp import Grid, ServerApp

from pytorchexample.task import Net

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Train for some rounds, with secure aggregation."""
    start = ndarrays_to_parameters([tensor.numpy() for tensor in Net().state_dict().values()])
    strategy = FedAvg(
        fraction_evaluate=0.0, min_available_clients=3, initial_parameters=start
    )
    rounds = ServerConfig(num_rounds=context.run_config["num-server-rounds"])
    masked = SecAggPlusWorkflow(num_shares=3, reconstruction_threshold=2, max_weight=1000)
    DefaultWorkflow(fit_workflow=masked)(
        grid, LegacyContext(context=context, config=rounds, strategy=strategy)
    )
'''


def write(
    folder: Path,
    package: str = "pytorchexample",
    most: int | None = None,
    *,
    secure: bool = False,
) -> Path:
    """Write the app and return its folder.

    Args:
        folder: the folder, which is created.
        package: name of its package; empty for modules ``server.py``, ``client.py``, ``task.py``.
        most: largest number of examples of a client; None for all, as in the original.
        secure: whether the uploads are aggregated by SecAgg+, for which Flower has a workflow of
            before its Message API: the same training, in a ``NumPyClient``.
    """
    client, server = (SECURE_CLIENT, SECURE_SERVER) if secure else (CLIENT, SERVER)
    files = {"task": TASK, "client_app": client, "server_app": server}
    if not package:
        files = {"task": TASK, "client": client, "server": server}
    files["task"] = TASK.replace("MOST = None", f"MOST = {most}")
    place = folder / package
    place.mkdir(parents=True)
    pyproject = PYPROJECT
    if package:
        (place / "__init__.py").write_text("")
    else:
        pyproject = pyproject.replace("pytorchexample.server_app", "server")
        pyproject = pyproject.replace("pytorchexample.client_app", "client")
    (folder / "pyproject.toml").write_text(pyproject)
    for name, text in files.items():
        own = text
        if not package:
            own = text.replace("from pytorchexample import task", "import task")
            own = own.replace("pytorchexample.", "")
        (place / f"{name}.py").write_text(own)
    return folder


if __name__ == "__main__":
    write(Path(sys.argv[1]), secure="--secure" in sys.argv)
