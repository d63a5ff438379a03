"""Flower's PyTorch quickstart in the form in which `flwr new` creates it, with data at hand."""

from pathlib import Path

PYPROJECT = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "quickstart-pytorch"
version = "1.0.0"
description = ""
license = "Apache-2.0"
dependencies = ["flwr[simulation]>=1.26.1", "torch==2.7.1"]

[tool.flwr.app]
publisher = "somebody"

[tool.flwr.app.components]
serverapp = "pytorchexample.server_app:app"
clientapp = "pytorchexample.client_app:app"

[tool.flwr.app.config]
num-server-rounds = 2
fraction-evaluate = 0.5
local-epochs = 1
learning-rate = 0.1
batch-size = 32
examples = 64
"""

TASK = '''
"""A simple CNN and its training."""

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset


class Net(nn.Module):
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


def load_data(partition_id, num_partitions, batch_size, examples):
    """Load a partition of pictures at hand, normalised as in the original."""
    from fedsim.data import FashionMnistMini

    split = FashionMnistMini().load(None).train
    rows = range(partition_id, len(split), num_partitions)[:examples]
    images, labels = split.batch(__import__("numpy").array(rows))
    images = F.interpolate(images, (32, 32)).expand(-1, 3, -1, -1)
    data = TensorDataset((images - 0.5) / 0.5, labels)
    loader = DataLoader(data, batch_size=batch_size, shuffle=True)
    return loader, DataLoader(data, batch_size=batch_size)


def train(net, trainloader, epochs, lr, device):
    """Train the model on the training set."""
    net.to(device)
    criterion = torch.nn.CrossEntropyLoss().to(device)
    optimizer = torch.optim.SGD(net.parameters(), lr=lr, momentum=0.9)
    net.train()
    running_loss = 0.0
    for _ in range(epochs):
        for images, labels in trainloader:
            images, labels = images.to(device), labels.to(device)
            optimizer.zero_grad()
            loss = criterion(net(images), labels)
            loss.backward()
            optimizer.step()
            running_loss += loss.item()
    return running_loss / (epochs * len(trainloader))


def test(net, testloader, device):
    """Validate the model on the test set."""
    net.to(device)
    criterion = torch.nn.CrossEntropyLoss()
    correct, loss = 0, 0.0
    with torch.no_grad():
        for images, labels in testloader:
            outputs = net(images.to(device))
            loss += criterion(outputs, labels.to(device)).item()
            correct += (torch.max(outputs.data, 1)[1] == labels).sum().item()
    return loss / len(testloader), correct / len(testloader.dataset)
'''

CLIENT = '''
"""pytorchexample: A Flower / PyTorch app."""

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
    device = torch.device("cpu")
    config = context.run_config
    partition_id = context.node_config["partition-id"]
    num_partitions = context.node_config["num-partitions"]
    trainloader, _ = load_data(
        partition_id, num_partitions, config["batch-size"], config["examples"]
    )
    train_loss = train_fn(
        model, trainloader, config["local-epochs"], msg.content["config"]["lr"], device
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
    config = context.run_config
    _, valloader = load_data(
        context.node_config["partition-id"],
        context.node_config["num-partitions"],
        config["batch-size"],
        config["examples"],
    )
    eval_loss, eval_acc = test_fn(model, valloader, torch.device("cpu"))
    metrics = {"eval_loss": eval_loss, "eval_acc": eval_acc, "num-examples": len(valloader.dataset)}
    content = RecordDict({"metrics": MetricRecord(metrics)})
    return Message(content=content, reply_to=msg)
'''

SERVER = '''
"""pytorchexample: A Flower / PyTorch app."""

import torch
from flwr.app import ArrayRecord, ConfigRecord, Context
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg

from pytorchexample.task import Net

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Main entry point for the ServerApp."""
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
    )
    print("Saving final model to disk...")
    torch.save(result.arrays.to_torch_state_dict(), "final_model.pt")
'''


def write(folder: Path, package: str = "pytorchexample") -> Path:
    """Write the app and return its folder.

    Args:
        folder: the folder, which is created.
        package: name of its package; empty for modules ``server.py``, ``client.py``, ``task.py``.
    """
    files = {"task": TASK, "client_app": CLIENT, "server_app": SERVER}
    if not package:
        files = {"task": TASK, "client": CLIENT, "server": SERVER}
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
