"""How many encodings of InstaHide hide a private picture.

After Carlini et al. (Is Private Learning Possible with Instance Encoding?, IEEE S&P 2021, arXiv
2011.05315). Here: a client with one private garment of each class of the embedded Fashion-MNIST, of
14 x 14 pixels, a network of dense layers, and a batch of one, so that each upload shows its
encoding exactly. The attacker has the 500 public pictures, whose classes it knows, and does not
know the shares of the mixtures; its settings were chosen on public pictures. Run with ``-s`` to see
the table.
"""

# ruff: noqa: T201 - the table is what this is run for

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fedsim.attacks.adaptive.encodings import private_pictures, read_encodings
from fedsim.attacks.adaptive.public import PublicPictures
from fedsim.clients.defenses import InstaHide
from fedsim.data import FashionMnistMini, load_dataset
from fedsim.models import MLP
from fedsim.scoring.metrics.images import psnr
from tests.victims import Victims

pytestmark = [pytest.mark.paper, pytest.mark.timeout(1800)]

CLASSES = 10
LEAST_DB = {1: 18.0, 5: 30.0, 20: 38.0, 50: 42.0}
"""Least mean PSNR of the private pictures, by encodings of each picture."""


@pytest.mark.parametrize("images", [2, 4])
def test_many_encodings_show_the_private_pictures(images: int) -> None:
    dataset = load_dataset(FashionMnistMini())
    pictures, classes = dataset.test.batch(np.arange(len(dataset.test)))
    public = PublicPictures(nn.functional.avg_pool2d(pictures, 2), classes)
    private = _one_of_each(dataset.train.batch(np.arange(200)))
    guess = torch.stack([public.gaussian(c).mean.view(1, 14, 14) for c in range(CLASSES)])
    print(f"\nmixtures of {images}: the mean of its class has {psnr(guess, private).mean():.1f} dB")
    means = {}
    for count in LEAST_DB:
        scores = psnr(_found(private, public, images, count), private)
        means[count] = float(scores.mean())
        print(f"{count:>3} encodings of each: {means[count]:.1f} dB (least {scores.min():.1f})")
    assert all(means[count] > least for count, least in LEAST_DB.items())


def _one_of_each(batch: tuple[Tensor, Tensor]) -> Tensor:
    """Return the fourth picture of each class, ``(10, 1, 14, 14)``."""
    pictures, classes = batch
    chosen = [int((classes == c).nonzero()[3]) for c in range(CLASSES)]
    return nn.functional.avg_pool2d(pictures[chosen], 2)


def _found(private: Tensor, public: PublicPictures, images: int, count: int) -> Tensor:
    """Return what is found from ``count`` encodings of each private picture."""
    model = MLP().build((1, 14, 14), CLASSES, seed=0)
    labels = torch.arange(CLASSES).repeat(count)
    clients = Victims(model, private.repeat(count, 1, 1, 1)[:, None], labels[:, None])
    seen = clients.observations(InstaHide(images=images), seed=7)
    found = private_pictures(read_encodings([model] * len(seen), seen), public)
    return torch.stack([found[c] for c in range(CLASSES)])
