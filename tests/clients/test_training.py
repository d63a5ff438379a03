"""What an honest client computes, against closed forms and hand-written loops."""

from collections.abc import Callable, Iterable

import pytest
import torch
import torch.nn.functional as F  # noqa: N812  (the name that everybody knows)
from torch import Tensor, nn

from fedsim.clients.training import Batch, gradient, local_training, one_thread
from fedsim.models import MLP, LeNet, ResNet18
from fedsim.scenario.optimizers import Adam, AdamW, Optimizer, Sgd

pytestmark = pytest.mark.numeric

SHAPE = (1, 8, 8)


def batch(seed: int, size: int = 3) -> Batch:
    rng = torch.Generator().manual_seed(seed)
    images = torch.rand((size, *SHAPE), generator=rng)
    return images, torch.randint(0, 10, (size,), generator=rng)


def weights(model: nn.Module) -> dict[str, Tensor]:
    return {k: v.clone() for k, v in model.state_dict().items()}


def test_gradient_of_logistic_regression_in_closed_form() -> None:
    model = MLP(hidden=()).build(SHAPE, 10, seed=1)
    images, labels = batch(0)
    found = gradient(model, (images, labels))
    flat = images.flatten(1)
    probabilities = torch.softmax(model(images), dim=1)
    error = (probabilities - F.one_hot(labels, 10)) / len(labels)
    torch.testing.assert_close(found.arrays["head.weight"], (error.T @ flat).detach())
    torch.testing.assert_close(found.arrays["head.bias"], error.sum(0).detach())
    expected = -probabilities.log()[torch.arange(3), labels].mean()
    assert found.loss == pytest.approx(float(expected.detach()), rel=1e-5)


@pytest.mark.parametrize("spec", [MLP(hidden=(5,)), LeNet()], ids=["mlp", "lenet"])
@pytest.mark.parametrize("size", [1, 4])
def test_gradient_is_that_of_autograd(spec: MLP | LeNet, size: int) -> None:
    model = spec.build(SHAPE, 10, seed=1)
    images, labels = batch(0, size)
    found = gradient(model, (images, labels)).arrays
    F.cross_entropy(model(images), labels).backward()
    assert set(found) == set(dict(model.named_parameters()))
    for name, parameter in model.named_parameters():
        assert torch.equal(found[name], parameter.grad)


def test_gradient_is_the_mean_of_its_images_gradients() -> None:
    model = LeNet().build(SHAPE, 10, seed=1)
    images, labels = batch(0)
    whole = gradient(model, (images, labels)).arrays
    single = [gradient(model, (images[i : i + 1], labels[i : i + 1])).arrays for i in range(3)]
    for name, value in whole.items():
        torch.testing.assert_close(value, torch.stack([s[name] for s in single]).mean(0))


def test_gradient_leaves_weights_and_parameters_alone() -> None:
    model = LeNet().build(SHAPE, 10, seed=1)
    before = weights(model)
    gradient(model, batch(0))
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())


def test_gradient_carries_buffers_as_values() -> None:
    model = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(64), nn.Linear(64, 10))
    images, labels = batch(0)
    found = gradient(model, (images, labels)).arrays
    assert set(found) == set(model.state_dict())
    torch.testing.assert_close(found["1.running_mean"], 0.1 * images.flatten(1).mean(0))
    assert int(found["1.num_batches_tracked"]) == 1
    model(images)
    assert int(found["1.num_batches_tracked"]) == 1, "the upload moves with the model"


def test_frozen_parameters_are_not_uploaded_with_a_gradient() -> None:
    model = LeNet().build(SHAPE, 10, seed=1)
    model.conv1.requires_grad_(False)
    found = gradient(model, batch(0)).arrays
    assert set(model.state_dict()) - set(found) == {"conv1.weight", "conv1.bias"}


def test_local_sgd_is_a_hand_written_loop() -> None:
    model, hand = (LeNet().build(SHAPE, 10, seed=1) for _ in range(2))
    batches, rate = [batch(0), batch(1), batch(2)], 0.3
    found = local_training(model, batches, rate)
    losses = []
    for images, labels in batches:
        loss = F.cross_entropy(hand(images), labels)
        parts = torch.autograd.grad(loss, list(hand.parameters()))
        losses.append(float(loss.detach()))
        with torch.no_grad():
            for parameter, part in zip(hand.parameters(), parts, strict=True):
                parameter.sub_(rate * part)
    assert found.loss == pytest.approx(sum(losses) / 3)
    assert set(found.arrays) == set(hand.state_dict())
    for name, value in hand.state_dict().items():
        torch.testing.assert_close(found.arrays[name], value)


def test_one_local_step_gives_back_the_gradient() -> None:
    model = LeNet().build(SHAPE, 10, seed=1)
    before, rate = weights(model), 0.1
    exact = gradient(model, batch(0)).arrays
    after = local_training(model, [batch(0)], rate).arrays
    for name, value in exact.items():
        torch.testing.assert_close((before[name] - after[name]) / rate, value, atol=2e-6, rtol=1e-4)


def test_local_sgd_uploads_what_does_not_move_any_more() -> None:
    model = LeNet().build(SHAPE, 10, seed=1)
    found = local_training(model, [batch(0)], 0.1).arrays
    kept = {k: v.clone() for k, v in found.items()}
    local_training(model, [batch(1)], 0.1)
    assert all(torch.equal(found[k], kept[k]) for k in kept)


def test_batch_norm_counts_local_steps() -> None:
    model = ResNet18().build(SHAPE, 10, seed=1)
    found = local_training(model, [batch(0), batch(1)], 0.01).arrays
    assert int(found["bn1.num_batches_tracked"]) == 2


def test_one_thread_restores_the_number_of_threads() -> None:
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        with one_thread():
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 2
        with pytest.raises(KeyError), one_thread():
            raise KeyError
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("optimizer", "peer"),
    [
        (
            Sgd(momentum=0.9, nesterov=True, weight_decay=0.1),
            lambda p: torch.optim.SGD(p, 0.1, momentum=0.9, nesterov=True, weight_decay=0.1),
        ),
        (Adam(weight_decay=0.1), lambda p: torch.optim.Adam(p, 0.1, weight_decay=0.1)),
        (AdamW(beta1=0.5), lambda p: torch.optim.AdamW(p, 0.1, betas=(0.5, 0.999))),
    ],
    ids=["sgd", "adam", "adamw"],
)
def test_optimizers_are_those_of_torch(
    optimizer: Optimizer, peer: Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer]
) -> None:
    model, hand = (LeNet().build(SHAPE, 10, seed=1) for _ in range(2))
    batches = [batch(0), batch(1, size=2)]
    found = local_training(model, batches, 0.1, optimizer=optimizer)
    steps = peer(hand.parameters())
    for images, labels in batches:
        steps.zero_grad()
        F.cross_entropy(hand(images), labels).backward()
        steps.step()
    for name, value in hand.state_dict().items():
        torch.testing.assert_close(found.arrays[name], value)
