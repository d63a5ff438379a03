"""Labels of local steps by simulated training, for Adam."""

import copy

import pytest
import torch
from torch import Tensor, nn

from fedsim.attacks import Adam, LocalTraining, Observation
from fedsim.attacks.functional import parameters
from fedsim.attacks.labels.sequences import search_labels
from fedsim.clients.training import local_training
from fedsim.core.errors import AttackError
from fedsim.models import LeNet
from fedsim.scenario import optimizers
from tests.victims import fashion_victims

pytestmark = pytest.mark.numeric

RATE = 1e-3


def observed(model: nn.Module, images: Tensor, labels: Tensor, epochs: int = 1) -> Observation:
    """Return the observation of a client of Adam with batches of 4."""
    steps = torch.arange(len(labels)).split(4) * epochs
    batches = [(images[rows], labels[rows]) for rows in steps]
    after = local_training(copy.deepcopy(model), batches, RATE, optimizer=optimizers.Adam()).arrays
    training = LocalTraining.of_epochs(RATE, epochs, 4, len(labels), optimiser=Adam())
    shape, count = tuple(images.shape[1:]), len(labels)
    before = parameters(model)
    return Observation.from_training(before, after, training, input_shape=shape, examples=count)


def small(labels: list[int]) -> tuple[nn.Module, Tensor, Tensor]:
    model = LeNet().build((1, 8, 8), 4, seed=0)
    images = torch.rand((len(labels), 1, 8, 8), generator=torch.Generator().manual_seed(0))
    return model, images, torch.tensor(labels)


@pytest.mark.slow
def test_known_labels_are_put_in_order() -> None:
    model, images, labels = small([0, 0, 2, 3, 1, 1, 1, 2])
    seen = observed(model, images, labels)
    known = Observation(
        seen.gradient, seen.input_shape, 8, labels.sort().values, seen.training, weight_unit=1.0
    )
    found = search_labels(model, known)
    assert found[0].tolist() == labels.tolist()
    assert torch.equal(found.sort(dim=1).values, labels.sort().values.expand_as(found))


def test_labels_of_several_passes_of_adam_are_refused() -> None:
    model, images, labels = small([0, 1, 2, 3])
    with pytest.raises(AttackError, match="labels of 2 steps of an adaptive optimiser cannot be"):
        search_labels(model, observed(model, images, labels, epochs=2))


@pytest.mark.slow
def test_counts_after_an_epoch_of_clothes() -> None:
    victims, right = fashion_victims(2, batch_size=8), 0
    for images, labels in zip(victims.images, victims.labels, strict=True):
        found = search_labels(victims.model, observed(victims.model, images, labels))[0]
        counts = [torch.bincount(y, minlength=10) for y in (found, labels)]
        right += int(torch.minimum(*counts).sum())
    assert right >= 0.95 * victims.labels.numel()


@pytest.mark.slow
def test_counts_that_the_classification_layer_alone_does_not_tell() -> None:
    """Two labels of class 2 or of class 0 move that layer alike; the weight before it differs."""
    victims, labels = fashion_victims(1, batch_size=8, public=True), [0, 4, 6, 7, 2, 2, 2, 4]
    seen = observed(victims.model, victims.images[0], torch.tensor(labels))
    assert search_labels(victims.model, seen)[0].sort().values.tolist() == sorted(labels)
