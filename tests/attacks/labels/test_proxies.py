"""Local steps on stand-in pictures are real ones, and label counts follow the drift."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from fedsim.attacks import Observation
from fedsim.attacks.functional import parameters
from fedsim.attacks.labels.infer import infer_labels
from fedsim.attacks.labels.proxies import (
    CHUNK,
    ProxyClients,
    drifted_labels,
    head_of,
    proxy_pictures,
    share_out,
    spread_evenly,
)
from fedsim.clients.training import local_training
from fedsim.core.errors import AttackError
from fedsim.models import LeNet
from tests.victims import Shape

pytestmark = pytest.mark.numeric

SHAPE: Shape = (1, 8, 8)
CLASSES, RATE = 4, 0.25


def lenet() -> nn.Module:
    return LeNet().build(SHAPE, CLASSES, seed=0).double()


def pictures() -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.rand(3, *SHAPE, generator=generator, dtype=torch.float64)


def test_many_steps_at_once_are_those_of_sgd() -> None:
    """Two steps of as many clients as need two chunks, each with a label of its own."""
    model, clients = lenet(), CHUNK + 2
    labels = torch.arange(2 * clients).view(2, clients) % CLASSES
    proxies = ProxyClients(model, "head.weight", pictures(), RATE)
    weights = {k: w.expand(clients, *w.shape) for k, w in parameters(model).items()}
    for step in labels:
        before = weights
        targets = nn.functional.one_hot(step, CLASSES).double()
        weights, gradients, _ = proxies.step(before, targets, {}, 1)
        for name, gradient in gradients.items():
            torch.testing.assert_close(before[name] - RATE * gradient, weights[name])
    for client in (0, 5, clients - 1):
        batches = [(pictures(), label.expand(3)) for label in labels[:, client]]
        expected = local_training(copy.deepcopy(model), batches, RATE).arrays
        for name, found in weights.items():
            torch.testing.assert_close(found[client], expected[name], rtol=1e-8, atol=1e-10)


def test_features_are_the_inputs_of_the_last_layer() -> None:
    model = lenet()
    seen: list[Tensor] = []
    model.get_submodule("head").register_forward_pre_hook(lambda _, inputs: seen.extend(inputs))
    logits = model(pictures())
    proxies = ProxyClients(model, "head.weight", pictures(), RATE)
    probabilities, features = proxies.look({k: w[None] for k, w in parameters(model).items()})
    torch.testing.assert_close(features[0], seen[0].mean(0).detach())
    torch.testing.assert_close(probabilities[0], logits.softmax(-1).mean(0).detach())


def test_pictures_are_plain_but_for_batch_norm() -> None:
    shades = proxy_pictures(lenet(), SHAPE)
    assert [tuple(p.shape) for p in shades] == [(1, *SHAPE)] * 3
    assert [float(p.mean()) for p in shades] == [0.25, 0.5, 0.75]
    assert all(p.std() == 0 and p.dtype == torch.float64 for p in shades)
    normed = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
    [noise] = proxy_pictures(normed, SHAPE)
    assert noise.std() > 0.2
    assert len(noise) > 1
    assert len(proxy_pictures(normed.eval(), SHAPE)) == 3


def grey_update(model: nn.Module, labels: Tensor, size: int, rate: float) -> Observation:
    """What a client sends back that trained on plain grey."""
    batches = [(torch.full((len(y), *SHAPE), 0.5).double(), y) for y in labels.split(size)]
    before = parameters(copy.deepcopy(model))
    after = local_training(copy.deepcopy(model), batches, rate).arrays
    return Observation.from_update(
        before,
        after,
        learning_rate=rate,
        local_steps=len(batches),
        input_shape=SHAPE,
        batch_size=size,
    )


def right(found: Tensor, truth: Tensor) -> int:
    counts = (torch.bincount(y, minlength=CLASSES) for y in (found, truth))
    return int(torch.minimum(*counts).sum())


def test_counts_follow_the_drift() -> None:
    """20 steps of 8 at equal shares: all right, where those read off the first weights are not."""
    model = lenet()
    labels = spread_evenly(torch.tensor([40, 20, 60, 40]))
    seen = grey_update(model, labels, 8, 0.1)
    assert right(drifted_labels(model, seen), labels) >= 0.98 * len(labels)
    fixed = infer_labels(model, seen.gradient, SHAPE, len(labels))
    assert right(fixed, labels) < 0.9 * len(labels)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda m: m.head.weight.requires_grad_(False), "'head.weight', is frozen"),
        (lambda m: m.head.bias.requires_grad_(False), "gradient of 'head.bias', which is missing"),
    ],
    ids=["frozen weight", "frozen bias"],
)
def test_what_counts_cannot_be_read_off(change: object, reason: str) -> None:
    model = lenet()
    assert callable(change)
    change(model)
    seen = grey_update(model, torch.tensor([0, 1]), 1, RATE)
    with pytest.raises(AttackError, match=reason):
        drifted_labels(model, seen)


def test_name_of_the_last_layers_weight() -> None:
    assert head_of(lenet()) == "head.weight"


@given(
    st.lists(st.integers(0, 9), min_size=1, max_size=6).filter(any),
    st.integers(0, 40),
)
@settings(deadline=None)
def test_shares_are_proportional_whole_and_complete(weights: list[int], count: int) -> None:
    [found] = share_out(torch.tensor([weights]), count).tolist()
    assert sum(found) == count
    exact = [count * w / sum(weights) for w in weights]
    assert all(abs(n - e) < 1 + 1e-4 for n, e in zip(found, exact, strict=True))


@given(st.lists(st.integers(0, 8), min_size=1, max_size=5))
@settings(deadline=None)
def test_spread_labels_keep_their_counts(counts: list[int]) -> None:
    """Any first part of them holds about its share of each class."""
    labels = spread_evenly(torch.tensor(counts))
    assert torch.bincount(labels, minlength=len(counts)).tolist() == counts
    half = torch.bincount(labels[: len(labels) // 2], minlength=len(counts)).tolist()
    assert all(abs(n - c / 2) <= 1 for n, c in zip(half, counts, strict=True))
