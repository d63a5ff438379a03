"""What the last layer's gradient gives away of the labels."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from attacks import Observation, infer_labels
from attacks.idlg import IDLG
from clients.training import gradient
from fedsim.data import FashionMnistMini, load_dataset
from fedsim.errors import AttackError
from fedsim.models import LeNet
from tests.victims import fashion_victims, random_victims


@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
def test_exact_for_one_image(bias: bool) -> None:
    """iDLG (arXiv 2001.02610), table 1: 100 % of the labels; here 100 of 100 images."""
    victims = fashion_victims(100)
    if not bias:
        victims.model.head.bias = None
    for seen, labels in zip(victims.observations(), victims.labels, strict=True):
        assert torch.equal(infer(victims.model, seen), labels)


def infer(model: nn.Module, seen: Observation) -> Tensor:
    return infer_labels(model, seen.gradient, seen.input_shape, seen.batch_size)


@given(
    seed=st.integers(0, 2**32 - 1),
    classes=st.integers(2, 12),
    batch_size=st.integers(2, 40),
    scale=st.sampled_from([0.0, 1e-3, 1.0, 1e30]),
)
@settings(max_examples=40, deadline=2000)
def test_counts_sum_to_the_batch_size(
    seed: int, classes: int, batch_size: int, scale: float
) -> None:
    """Whatever was shared, noise beyond all sense included."""
    generator = torch.Generator().manual_seed(seed)
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, classes))
    shared = {
        name: scale * torch.randn(p.shape, generator=generator)
        for name, p in (("1.weight", model[1].weight), ("1.bias", model[1].bias))
    }
    labels = infer_labels(model, shared, (1, 2, 2), batch_size)
    assert labels.shape == (batch_size,)
    assert labels.tolist() == sorted(labels.tolist())
    assert 0 <= labels.min() <= labels.max() < classes


@given(seed=st.integers(0, 2**32 - 1), labels=st.lists(st.integers(0, 9), min_size=2, max_size=16))
@settings(max_examples=40, deadline=None)
def test_repeated_labels_are_counted(seed: int, labels: list[int]) -> None:
    """Exact for grey images, on which the rule estimates the mean probabilities."""
    generator = torch.Generator().manual_seed(seed)
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 10))
    nn.init.normal_(model[1].weight, generator=generator)
    images = torch.full((len(labels), 1, 4, 4), 0.5)
    shared = gradient(model, (images, torch.tensor(labels))).arrays
    assert infer_labels(model, shared, (1, 4, 4), len(labels)).tolist() == sorted(labels)


@pytest.mark.parametrize("batch_size", [2, 4, 8])
def test_batches_of_clothes(batch_size: int) -> None:
    """Multiset accuracy of at least 90 % over 100 images, labels repeated as they come."""
    victims = fashion_victims(100 // batch_size, batch_size=batch_size)
    hits = 0
    for seen, labels in zip(victims.observations(), victims.labels, strict=True):
        found, true = (
            torch.bincount(x, minlength=10) for x in (infer(victims.model, seen), labels)
        )
        hits += int(torch.minimum(found, true).sum())
    assert hits >= 0.9 * victims.labels.numel()


def test_one_class_only() -> None:
    dataset = load_dataset(FashionMnistMini())
    model = LeNet().build(dataset.image_shape, 10, seed=0)
    shirts = (dataset.train.labels == 6).nonzero().flatten()[:8]
    shared = gradient(model, dataset.train.batch(shirts.numpy())).arrays
    assert infer_labels(model, shared, dataset.image_shape, 8).tolist() == [6] * 8


def test_no_dense_layer() -> None:
    model = nn.Sequential(nn.Conv2d(1, 3, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    with pytest.raises(AttackError, match="this model has none; give the labels"):
        infer_labels(model, {}, (1, 4, 4), 1)


def test_last_layer_not_shared() -> None:
    victims = random_victims((1, 8, 8), count=1)
    with pytest.raises(AttackError, match="layer 'head' was not shared"):
        infer_labels(victims.model, {}, (1, 8, 8), 1)


def test_counts_need_a_bias() -> None:
    """iDLG says so of the batch; with the labels given it goes on."""
    victims = random_victims((1, 8, 8), count=1, batch_size=2)
    victims.model.head.bias = None
    [unknown] = victims.observations()
    [known] = victims.observations(labels_known=True)
    lost, found = IDLG(evaluations=3).run(victims.model, [unknown, known])
    assert lost.error is not None
    assert "need the bias of the classification layer 'head'" in lost.error
    assert found.error is None
