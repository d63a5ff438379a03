"""Many encodings of the same private pictures."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from fedsim.attacks import Observation
from fedsim.attacks.adaptive.encodings import Encodings, private_pictures, read_encodings
from fedsim.attacks.adaptive.public import PublicPictures
from fedsim.attacks.local_training import LocalTraining
from fedsim.clients.defenses import Batch, InstaHide, Private
from fedsim.clients.training import gradient
from fedsim.core.errors import AttackError
from fedsim.models import MLP, LeNet
from fedsim.scoring.metrics.images import psnr
from tests.rounding import assert_same

SHAPE = (1, 6, 6)
MODEL = MLP(hidden=[64]).build(SHAPE, 3, seed=0).double()


def pictures(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Return dark pictures with a bright row, column or diagonal, and these classes."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 3
    shapes = torch.zeros(3, *SHAPE, dtype=torch.float64)
    shapes[0, 0, 2], shapes[1, 0, :, 3], shapes[2, 0] = 1.0, 1.0, torch.eye(6)
    noise = torch.rand(count, *SHAPE, generator=generator, dtype=torch.float64)
    return 0.6 * shapes[labels] + 0.4 * noise, labels


def encoded(count: int, images: int = 2) -> tuple[Tensor, Encodings]:
    """Return three private pictures, and encodings of them."""
    private, labels = pictures(3, seed=0)
    generator = torch.Generator().manual_seed(1)

    def draw(others: int) -> tuple[Tensor, Tensor]:
        chosen = torch.randint(3, (others,), generator=generator)
        return private[chosen], labels[chosen]

    own = torch.arange(count) % 3
    batch = InstaHide(images=images).protect_batch(
        Batch(private[own], labels[own]), Private(draw, 3, MODEL), generator
    )
    return private, Encodings(batch.inputs, batch.labels)


def uploads(encodings: Encodings) -> list[Observation]:
    names = {name for name, _ in MODEL.named_parameters()}
    seen = []
    for picture, target in zip(*encodings, strict=True):
        arrays = gradient(MODEL, (picture[None], target[None])).arrays
        seen.append(Observation({k: arrays[k] for k in names}, SHAPE))
    return seen


@pytest.mark.numeric
def test_an_encoding_and_its_shares_are_read_off_an_upload() -> None:
    _, encodings = encoded(4)
    seen = uploads(encodings)
    found = read_encodings([MODEL] * 4, seen)
    assert_same(found.pictures, encodings.pictures)
    assert_same(found.targets, encodings.targets)


def test_more_encodings_show_more() -> None:
    public = PublicPictures(*pictures(60, seed=2))
    scores = []
    for count in (3, 60):
        private, encodings = encoded(count)
        found = private_pictures(encodings, public)
        assert sorted(found) == [0, 1, 2]
        scores.append(psnr(torch.stack([found[c] for c in range(3)]), private).min())
    assert scores[1] > max(35, scores[0] + 10)


def test_only_uploads_of_one_example_and_dense_layers_are_read() -> None:
    [seen] = uploads(encoded(1)[1])
    with pytest.raises(AttackError, match="an upload of 2 examples"):
        read_encodings([MODEL], [replace(seen, batch_size=2)])
    with pytest.raises(AttackError, match="one example and one step"):
        read_encodings([MODEL], [replace(seen, training=LocalTraining(0.1, 2, 1))])
    with pytest.raises(AttackError, match="no dense layer"):
        read_encodings([LeNet().build(SHAPE, 3, seed=0).double()], [seen])
