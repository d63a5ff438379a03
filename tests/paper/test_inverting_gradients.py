"""Inverting Gradients on untrained and trained networks.

Source: Geiping et al., NeurIPS 2020 (arXiv 2003.14053). Figures quoted from later work for an
untrained LeNet with the cosine on 100 CIFAR pictures: 18.00 ± 3.33 dB. Here: 100 colour pictures
of 32 x 32 cut from scikit-image's photographs on the paper's network; bound: median 18 dB. A
ConvNet trained on the embedded clothes is recorded beside the untrained one; no bound, since the
paper itself finds that trained networks leak less.

    uv run pytest -m paper -s tests/paper/test_inverting_gradients.py
"""

# ruff: noqa: T201 - the figures are what this is run for

import pytest
import torch
from torch import Tensor, nn

from fedsim.attacks import InvertingGradients
from fedsim.data import FashionMnistMini, load_dataset
from fedsim.models import ConvNet
from tests.victims import Victims, photograph_victims

pytestmark = [pytest.mark.paper, pytest.mark.timeout(3600)]

MEDIAN_DB = 18.0
TRAINING_STEPS = 300


def test_untrained_lenet() -> None:
    victims = photograph_victims(100)
    found = InvertingGradients().run(victims.model, victims.observations())
    scores = victims.psnr(found).flatten()
    report("untrained LeNet, 100 photographs", scores, victims.grey_psnr())
    assert scores.median() >= MEDIAN_DB


def test_convnet_untrained_and_trained() -> None:
    dataset = load_dataset(FashionMnistMini())
    model = ConvNet().build(dataset.image_shape, dataset.num_classes, seed=0)
    victims = Victims(model, *clothes(8))
    for stage in ("untrained", "trained"):
        if stage == "trained":
            train(model)
        attack = InvertingGradients(evaluations=1200)
        scores = victims.psnr(attack.run(model, victims.observations())).flatten()
        report(f"{stage} ConvNet, 8 clothes", scores, victims.grey_psnr())
        assert torch.isfinite(scores).all()


def clothes(count: int) -> tuple[Tensor, Tensor]:
    """Return the last training pictures, which `train` leaves out."""
    train_split = load_dataset(FashionMnistMini()).train
    images, labels = train_split.batch(torch.arange(len(train_split))[-count:].numpy())
    return images[:, None], labels[:, None]


def train(model: nn.Module) -> None:
    split = load_dataset(FashionMnistMini()).train
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    generator = torch.Generator().manual_seed(0)
    for _ in range(TRAINING_STEPS):
        chosen = torch.randint(len(split) - 8, (64,), generator=generator)
        images, labels = split.batch(chosen.numpy())
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(images), labels)
        loss.backward()
        optimizer.step()
    print(f"\ntrained to a loss of {float(loss.detach()):.2f}")


def report(what: str, scores: Tensor, grey: Tensor) -> None:
    print(
        f"\n{what}: median {scores.median():.1f} dB, mean {scores.mean():.1f} ± {scores.std():.1f},"
        f" from {scores.min():.1f} to {scores.max():.1f}; plain grey {grey.median():.1f}"
    )
