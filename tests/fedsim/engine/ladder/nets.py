"""Small models of ladders."""

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn


class Small(nn.Module):
    """A convolution and two dense layers, with activations of both kinds and a max pooling."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.act = nn.Conv2d(1, 2, 3), nn.ReLU(inplace=True)
        self.one, self.two = nn.Linear(2 * 3 * 3, 6), nn.Linear(6, 3)

    def forward(self, inputs: Tensor) -> Tensor:
        seen = F.max_pool2d(self.act(self.conv(inputs)), 2)
        out: Tensor = self.two(F.relu(self.one(seen.flatten(1))))
        return out


class Easy(Small):
    """The same with GELU and average pooling, written by hand."""

    def forward(self, inputs: Tensor) -> Tensor:
        seen = F.avg_pool2d(F.gelu(self.conv(inputs)), 2)
        out: Tensor = self.two(F.gelu(self.one(seen.flatten(1))))
        return out


class Quickstart(nn.Module):
    """The CNN of Flower's PyTorch quickstart."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.pool = nn.Conv2d(3, 6, 5), nn.MaxPool2d(2, 2)
        self.conv2, self.fc1 = nn.Conv2d(6, 16, 5), nn.Linear(16 * 5 * 5, 120)
        self.fc2, self.fc3 = nn.Linear(120, 84), nn.Linear(84, 10)

    def forward(self, inputs: Tensor) -> Tensor:
        x = self.pool(F.relu(self.conv1(inputs)))
        x = self.pool(F.relu(self.conv2(x))).flatten(1)
        out: Tensor = self.fc3(F.relu(self.fc2(F.relu(self.fc1(x)))))
        return out


class LeNet(nn.Sequential):
    """Three convolutions with ReLU and a dense layer, for 28 x 28 grey pictures."""

    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(1, 12, 5, padding=2, stride=2),
            nn.ReLU(),
            nn.Conv2d(12, 12, 5, padding=2, stride=2),
            nn.ReLU(),
            nn.Conv2d(12, 12, 5, padding=2),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(12 * 7 * 7, 10),
        )


def seeded(make: type[nn.Module]) -> nn.Module:
    """Return a model with fixed weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return make()
