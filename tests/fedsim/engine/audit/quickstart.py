"""Flower's PyTorch quickstart in the form in which ``flwr new`` creates it, with data at hand.

``python -m tests.fedsim.engine.audit.quickstart FOLDER`` writes it, and with ``--secure`` the same
app under SecAgg+. It differs from Flower's
(``@flwrlabs/quickstart-pytorch``) only in ``load_data`` and ``load_centralized_dataset``: pictures
of clothes, in colour and at 32 x 32, for those of CIFAR-10, which must be downloaded.
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
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, Dataset

MOST = None


class Net(nn.Module):
    """A small network of two convolutions and three dense layers."""

    def __init__(self):
        super(Net, self).__init__()
        self.conv1 = nn.Conv2d(3, 6, 5)
        self.pool = nn.MaxPool2d(2, 2)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.fc1 = nn.Linear(16 * 5 * 5, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, 10)

    def forward(self, x):
        x = self.pool(F.relu(self.conv1(x)))
        x = self.pool(F.relu(self.conv2(x)))
        x = x.view(-1, 16 * 5 * 5)
        x = F.relu(self.fc1(x))
        x = F.relu(self.fc2(x))
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


def load_data(partition_id: int, num_partitions: int, batch_size: int):
    """Return the loaders of a client: 80 % of its share to train, 20 % to test."""
    every = torch.randperm(len(Clothes("train")), generator=torch.Generator().manual_seed(42))
    own = every[partition_id::num_partitions]
    cut = int(0.8 * len(own))
    train, test = Clothes("train", own[:cut][:MOST]), Clothes("train", own[cut:])
    trainloader = DataLoader(train, batch_size=batch_size, shuffle=True)
    return trainloader, DataLoader(test, batch_size=batch_size)


def load_centralized_dataset():
    """Return the loader of the test set."""
    return DataLoader(Clothes("test"), batch_size=128)


def train(net, trainloader, epochs, lr, device):
    """Train the model and return its mean loss."""
    net.to(device)
    criterion = torch.nn.CrossEntropyLoss().to(device)
    optimizer = torch.optim.SGD(net.parameters(), lr=lr, momentum=0.9)
    net.train()
    running_loss = 0.0
    for _ in range(epochs):
        for batch in trainloader:
            images = batch["img"].to(device)
            labels = batch["label"].to(device)
            optimizer.zero_grad()
            loss = criterion(net(images), labels)
            loss.backward()
            optimizer.step()
            running_loss += loss.item()
    return running_loss / (epochs * len(trainloader))


def test(net, testloader, device):
    """Return loss and accuracy."""
    net.to(device)
    criterion = torch.nn.CrossEntropyLoss()
    correct, loss = 0, 0.0
    with torch.no_grad():
        for batch in testloader:
            images = batch["img"].to(device)
            labels = batch["label"].to(device)
            outputs = net(images)
            loss += criterion(outputs, labels).item()
            correct += (torch.max(outputs.data, 1)[1] == labels).sum().item()
    return loss / len(testloader), correct / len(testloader.dataset)
'''

CLIENT = '''
"""pytorchexample: the clients."""

import torch
from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from pytorchexample.task import Net, load_data
from pytorchexample.task import test as test_fn
from pytorchexample.task import train as train_fn

app = ClientApp()


@app.train()
def train(msg: Message, context: Context):
    """Train the model on local data."""
    model = Net()
    model.load_state_dict(msg.content["arrays"].to_torch_state_dict())
    device = torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    model.to(device)

    partition_id = context.node_config["partition-id"]
    num_partitions = context.node_config["num-partitions"]
    batch_size = context.run_config["batch-size"]
    trainloader, _ = load_data(partition_id, num_partitions, batch_size)

    train_loss = train_fn(
        model,
        trainloader,
        context.run_config["local-epochs"],
        msg.content["config"]["lr"],
        device,
    )

    model_record = ArrayRecord(model.state_dict())
    metrics = {"train_loss": train_loss, "num-examples": len(trainloader.dataset)}
    content = RecordDict({"arrays": model_record, "metrics": MetricRecord(metrics)})
    return Message(content=content, reply_to=msg)


@app.evaluate()
def evaluate(msg: Message, context: Context):
    """Evaluate the model on local data."""
    model = Net()
    model.load_state_dict(msg.content["arrays"].to_torch_state_dict())
    device = torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    model.to(device)

    partition_id = context.node_config["partition-id"]
    num_partitions = context.node_config["num-partitions"]
    batch_size = context.run_config["batch-size"]
    _, valloader = load_data(partition_id, num_partitions, batch_size)
    eval_loss, eval_acc = test_fn(model, valloader, device)

    metrics = {"eval_loss": eval_loss, "eval_acc": eval_acc, "num-examples": len(valloader.dataset)}
    content = RecordDict({"metrics": MetricRecord(metrics)})
    return Message(content=content, reply_to=msg)
'''

SERVER = '''
"""pytorchexample: the server."""

import torch
from flwr.app import ArrayRecord, ConfigRecord, Context, MetricRecord
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg

from pytorchexample.task import Net, load_centralized_dataset, test

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Train for some rounds, and save the model."""
    fraction_evaluate: float = context.run_config["fraction-evaluate"]
    num_rounds: int = context.run_config["num-server-rounds"]
    lr: float = context.run_config["learning-rate"]

    global_model = Net()
    arrays = ArrayRecord(global_model.state_dict())
    strategy = FedAvg(fraction_evaluate=fraction_evaluate)
    result = strategy.start(
        grid=grid,
        initial_arrays=arrays,
        train_config=ConfigRecord({"lr": lr}),
        num_rounds=num_rounds,
        evaluate_fn=global_evaluate,
    )

    print("Saving final model to disk...")
    torch.save(result.arrays.to_torch_state_dict(), "final_model.pt")


def global_evaluate(server_round: int, arrays: ArrayRecord) -> MetricRecord:
    """Evaluate the model on central data."""
    model = Net()
    model.load_state_dict(arrays.to_torch_state_dict())
    device = torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    model.to(device)
    test_loss, test_acc = test(model, load_centralized_dataset(), device)
    return MetricRecord({"accuracy": test_acc, "loss": test_loss})
'''

SECURE_CLIENT = '''
"""pytorchexample: the clients, whose uploads Flower's mod masks."""

from collections import OrderedDict

import torch
from flwr.client import NumPyClient
from flwr.client.mod import secaggplus_mod
from flwr.clientapp import ClientApp
from flwr.common import Context

from pytorchexample.task import Net, load_data
from pytorchexample.task import test as test_fn
from pytorchexample.task import train as train_fn


class FlowerClient(NumPyClient):
    """Trains on local data."""

    def __init__(self, trainloader, valloader, epochs, lr):
        self.net = Net()
        self.trainloader, self.valloader = trainloader, valloader
        self.epochs, self.lr = epochs, lr

    def set_weights(self, parameters):
        state = zip(self.net.state_dict(), map(torch.tensor, parameters))
        self.net.load_state_dict(OrderedDict(state), strict=True)

    def fit(self, parameters, config):
        self.set_weights(parameters)
        loss = train_fn(self.net, self.trainloader, self.epochs, self.lr, torch.device("cpu"))
        weights = [value.cpu().numpy() for value in self.net.state_dict().values()]
        return weights, len(self.trainloader.dataset), {"train_loss": loss}

    def evaluate(self, parameters, config):
        self.set_weights(parameters)
        loss, accuracy = test_fn(self.net, self.valloader, torch.device("cpu"))
        return loss, len(self.valloader.dataset), {"accuracy": accuracy}


def client_fn(context: Context):
    """Return the client of a node."""
    config, node = context.run_config, context.node_config
    loaders = load_data(node["partition-id"], node["num-partitions"], config["batch-size"])
    return FlowerClient(*loaders, config["local-epochs"], config["learning-rate"]).to_client()


app = ClientApp(client_fn=client_fn, mods=[secaggplus_mod])
'''

SECURE_SERVER = '''
"""pytorchexample: the server, which sees the sum of the uploads alone."""

import torch
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
    weights = [value.cpu().numpy() for value in Net().state_dict().values()]
    strategy = FedAvg(
        fraction_fit=1.0,
        fraction_evaluate=0.0,
        min_available_clients=3,
        initial_parameters=ndarrays_to_parameters(weights),
    )
    config = ServerConfig(num_rounds=context.run_config["num-server-rounds"])
    context = LegacyContext(context=context, config=config, strategy=strategy)
    fit_workflow = SecAggPlusWorkflow(num_shares=3, reconstruction_threshold=2, max_weight=1000)
    DefaultWorkflow(fit_workflow=fit_workflow)(grid, context)
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
        own = text if package else text.replace("pytorchexample.", "")
        (place / f"{name}.py").write_text(own)
    return folder


if __name__ == "__main__":
    write(Path(sys.argv[1]), secure="--secure" in sys.argv)
