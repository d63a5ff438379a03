"""The attacker's optimisers are those of torch.optim."""

import copy
from collections.abc import Callable, Iterable

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn
from torch.func import jacrev

from fedsim.attacks import SGD, Adam, LocalOptimiser, LocalTraining, Observation
from fedsim.attacks.functional import parameters
from fedsim.attacks.matching.client import Client
from fedsim.attacks.matching.objectives import SquaredDistance
from fedsim.models import LeNet
from tests.rounding import assert_same

pytestmark = pytest.mark.numeric

SHAPE, CLASSES, RATE = (1, 6, 6), 3, 0.05
Build = Callable[[Iterable[Tensor]], torch.optim.Optimizer]

OPTIMISERS: dict[str, tuple[LocalOptimiser, Build]] = {
    "sgd": (SGD(), lambda p: torch.optim.SGD(p, RATE)),
    "decay": (SGD(0.1), lambda p: torch.optim.SGD(p, RATE, weight_decay=0.1)),
    "momentum": (SGD(momentum=0.9), lambda p: torch.optim.SGD(p, RATE, momentum=0.9)),
    "dampening": (
        SGD(0.1, momentum=0.9, dampening=0.5),
        lambda p: torch.optim.SGD(p, RATE, momentum=0.9, dampening=0.5, weight_decay=0.1),
    ),
    "nesterov": (
        SGD(0.1, momentum=0.9, nesterov=True),
        lambda p: torch.optim.SGD(p, RATE, momentum=0.9, nesterov=True, weight_decay=0.1),
    ),
    "adam": (Adam(), lambda p: torch.optim.Adam(p, RATE)),
    "adam with decay": (Adam(0.1), lambda p: torch.optim.Adam(p, RATE, weight_decay=0.1)),
    "adamw": (
        Adam(0.1, betas=(0.8, 0.9), eps=1e-3, decoupled=True),
        lambda p: torch.optim.AdamW(p, RATE, betas=(0.8, 0.9), eps=1e-3, weight_decay=0.1),
    ),
}


def victim(name: str, epochs: int, examples: int = 5) -> tuple[nn.Module, Observation, Tensor]:
    """Return the model, the observation of an honest client and its data."""
    model = LeNet().build(SHAPE, CLASSES, seed=0).double()
    optimiser, build = OPTIMISERS[name]
    data, labels = batch(examples)
    own = copy.deepcopy(model)
    steps = build(own.parameters())
    for _ in range(epochs):
        for rows in torch.arange(examples).split(2):
            steps.zero_grad()
            F.cross_entropy(own(data[rows]), labels[rows]).backward()
            steps.step()
    training = LocalTraining.of_epochs(RATE, epochs, 2, examples, optimiser=optimiser)
    seen = Observation.from_training(
        parameters(model), parameters(own), training, input_shape=SHAPE, examples=examples
    )
    return model, seen, data


def batch(examples: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    data = torch.rand((examples, *SHAPE), generator=generator, dtype=torch.float64)
    return data, torch.arange(examples) % CLASSES


def order_of(training: LocalTraining, examples: int) -> Tensor:
    rows = torch.arange(examples).split(2)
    steps = list(rows) * (training.epochs or 1)
    return nn.utils.rnn.pad_sequence(steps, batch_first=True)


@pytest.mark.parametrize("name", OPTIMISERS)
@pytest.mark.parametrize("epochs", [1, 3])
def test_unrolled_client_is_that_of_torch(name: str, epochs: int) -> None:
    """The last batch of each pass is smaller."""
    model, seen, data = victim(name, epochs)
    training, target = seen.training, F.one_hot(batch(5)[1], CLASSES).double()
    assert training is not None
    assert training.sizes(5) == [2, 2, 1] * epochs
    found = Client(model, training).upload(data, target, order_of(training, 5))
    assert found.keys() == seen.gradient.keys()
    for k, g in seen.gradient.items():
        assert_same(found[k], g, scale=1.0)


@pytest.mark.parametrize("name", ["sgd", "decay", "momentum", "nesterov"])
def test_one_step_of_sgd_uploads_the_gradient(name: str) -> None:
    model, seen, data = victim(name, 1, examples=2)
    assert seen.training is None
    gradients = torch.autograd.grad(
        F.cross_entropy(model(data), batch(2)[1]), list(model.parameters())
    )
    for k, g in zip(parameters(model), gradients, strict=True):
        assert_same(seen.gradient[k], g, scale=1.0)


def test_one_step_of_adam_uploads_signs() -> None:
    _, seen, _ = victim("adam", 1, examples=2)
    assert seen.training is not None
    entries = torch.cat([g.flatten().abs() for g in seen.gradient.values()])
    assert bool((entries < 1 + 1e-9).all())
    away_from_eps = (entries > 0.99) | (entries == 0)
    assert float(away_from_eps.double().mean()) > 0.99


@pytest.mark.parametrize("name", ["sgd", "dampening", "momentum", "nesterov"])
def test_influences_are_the_weights_of_the_gradients(name: str) -> None:
    optimiser, rates = OPTIMISERS[name][0], [0.1, 0.2, 0.05]
    plain = SGD(0.0, optimiser.momentum, optimiser.dampening, optimiser.nesterov)  # type: ignore[attr-defined]

    def moved(gradients: Tensor) -> Tensor:
        total, state, weights = torch.zeros(()), {}, {"w": torch.zeros(())}
        for number, (rate, g) in enumerate(zip(rates, gradients, strict=True), start=1):
            direction, state = plain.direction(weights, {"w": g}, state, number)
            total = total + rate * direction["w"]
        return total

    expected = jacrev(moved)(torch.zeros(3))
    torch.testing.assert_close(torch.tensor(plain.influences(rates)), expected)


def test_a_zero_gradient_of_adam_has_a_slope_of_zero() -> None:
    """Where no path leads from the data to a parameter, the root's slope must not be infinite."""

    def step(g: Tensor) -> Tensor:
        return Adam().direction({"w": g}, {"w": g}, {}, 1)[0]["w"].sum()

    slope = torch.func.grad(step)(torch.tensor([0.0, 1.0]))
    assert bool(torch.isfinite(slope).all())


def test_compared_uploads_of_adam_are_continuous_and_equal_for_the_truth() -> None:
    model, seen, data = victim("adam", 1)
    training, target = seen.training, F.one_hot(batch(5)[1], CLASSES).double()
    assert training is not None
    client, order = Client(model, training), order_of(training, 5)
    upload, shared = client.compared(data, target, seen.gradient, order)
    zero = {k: torch.zeros_like(g) for k, g in shared.items()}
    size = SquaredDistance()(zero, seen.gradient)
    torch.testing.assert_close(SquaredDistance()(zero, shared), size)
    for k, g in shared.items():
        assert_same(upload[k], g, scale=1.0)
