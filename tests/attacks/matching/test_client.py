"""The differentiable client is the real one: its local steps, its BatchNorm, its learning rate."""

import copy

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from fedsim.attacks import LocalTraining, Observation
from fedsim.attacks.functional import parameters, with_statistics
from fedsim.attacks.matching.client import Client
from fedsim.clients.training import local_training
from fedsim.models import LeNet
from tests.victims import Shape

pytestmark = pytest.mark.numeric

SHAPE: Shape = (2, 6, 6)
CLASSES = 3
RATE = 0.25


def lenet() -> nn.Module:
    return LeNet().build(SHAPE, CLASSES, seed=0).double()


def with_batch_norm(momentum: float = 0.1) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(2, 4, 3),
        nn.BatchNorm2d(4, momentum=momentum),
        nn.Sigmoid(),
        nn.Flatten(),
        nn.Linear(64, 8),
        nn.BatchNorm1d(8, momentum=momentum),
        nn.Linear(8, CLASSES),
    ).double()


def examples(count: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(count)
    images = torch.rand(count, *SHAPE, generator=generator, dtype=torch.float64)
    return images, torch.randint(CLASSES, (count,), generator=generator)


def trained(model: nn.Module, data: Tensor, labels: Tensor, order: Tensor) -> dict[str, Tensor]:
    """The weights after real local SGD."""
    batches = [(data[step], labels[step]) for step in order]
    return local_training(copy.deepcopy(model), batches, RATE).arrays


def mean_gradient(
    model: nn.Module, data: Tensor, labels: Tensor, order: Tensor
) -> dict[str, Tensor]:
    after = trained(model, data, labels, order)
    steps = RATE * len(order)
    return {k: (p - after[k]) / steps for k, p in parameters(model).items()}


def assert_same(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("make", [lenet, with_batch_norm], ids=["LeNet", "BatchNorm"])
@pytest.mark.parametrize("steps", [1, 2, 3, 4])
@pytest.mark.parametrize("size", [2, 3])
def test_local_steps_are_those_of_sgd(make: type[nn.Module], steps: int, size: int) -> None:
    model = make()
    data, labels = examples(steps * size)
    order = torch.arange(steps * size).view(steps, size)
    client = Client(model, LocalTraining(RATE, steps, size))
    before = copy.deepcopy(model.state_dict())
    found = client.upload(data, F.one_hot(labels, CLASSES).double(), order)
    assert_same(found, mean_gradient(model, data, labels, order))
    assert all(torch.equal(x, before[k]) for k, x in model.state_dict().items())


@pytest.mark.parametrize(
    "order",
    [[[0], [1], [0], [1]], [[0], [1], [1], [0]], [[0, 1], [2, 0], [1, 2]]],
    ids=["in order", "shuffled", "passes end inside a batch"],
)
def test_several_passes(order: list[list[int]]) -> None:
    model, places = lenet(), torch.tensor(order)
    data, labels = examples(int(places.max()) + 1)
    client = Client(model, LocalTraining(RATE, *places.shape))
    found = client.upload(data, F.one_hot(labels, CLASSES).double(), places)
    assert_same(found, mean_gradient(model, data, labels, places))


def test_learning_rate_keeps_the_precision_of_the_data() -> None:
    model, (data, labels) = lenet(), examples(2)
    client = Client(model, LocalTraining(0.3, 2, 1))
    order, target = torch.arange(2).view(2, 1), F.one_hot(labels, CLASSES).double()
    after = local_training(copy.deepcopy(model), [(data[o], labels[o]) for o in order], 0.3).arrays
    start = parameters(model)
    expected = {k: (p - after[k]) / 0.6 for k, p in start.items()}
    assert_same(client.upload(data, target, order), expected)


def test_order_of_the_steps_matters() -> None:
    model, (data, labels) = lenet(), examples(2)
    client, target = Client(model, LocalTraining(RATE, 2, 1)), F.one_hot(labels, CLASSES).double()
    one, other = (client.upload(data, target, torch.tensor(o)) for o in ([[0], [1]], [[1], [0]]))
    assert (one["head.weight"] - other["head.weight"]).norm() > 1e-3 * one["head.weight"].norm()


@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_rate_scale_makes_up_for_a_wrong_learning_rate(factor: float) -> None:
    """An update divided by a wrong rate is what the client at the right one gives, scaled."""
    model, (data, labels) = lenet(), examples(4)
    order = torch.arange(4).view(2, 2)
    seen = Observation.from_update(
        parameters(model),
        trained(model, data, labels, order),
        learning_rate=factor * RATE,
        local_steps=2,
        input_shape=SHAPE,
        batch_size=2,
        exact=False,
    )
    rate_scale = torch.tensor(1 / factor, dtype=torch.float64)
    client = Client(model, seen.training)
    found = client.upload(data, F.one_hot(labels, CLASSES).double(), order, rate_scale)
    assert_same(found, dict(seen.gradient))


def test_what_the_attacker_differentiates() -> None:
    """Finite differences of the upload by the data, the labels and the learning rate."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.Sigmoid(), nn.Linear(3, 2)).double()
    client, order = Client(model, LocalTraining(RATE, 3, 1)), torch.tensor([[0], [1], [0]])
    generator = torch.Generator().manual_seed(0)

    def upload(data: Tensor, logits: Tensor, rate_scale: Tensor) -> tuple[Tensor, ...]:
        return tuple(client.upload(data, logits.softmax(-1), order, rate_scale).values())

    inputs = (
        torch.rand(2, 1, 2, 2, generator=generator, dtype=torch.float64, requires_grad=True),
        torch.rand(2, 2, generator=generator, dtype=torch.float64, requires_grad=True),
        torch.tensor(1.3, dtype=torch.float64, requires_grad=True),
    )
    assert torch.autograd.gradcheck(upload, inputs)


def test_statistics_are_those_that_batch_norm_keeps() -> None:
    """With momentum 1 the running buffers are the batch's; BatchNorm's variance is unbiased."""
    model, (data, labels) = with_batch_norm(momentum=1.0), examples(5)
    target = F.one_hot(labels, CLASSES).double()
    client = Client(model, statistics=True)
    found = client.upload(data, target, torch.zeros(1, 1, dtype=torch.long))
    model(data)
    for name, count in (("1", 5 * 4 * 4), ("5", 5)):
        layer = model.get_submodule(name)
        torch.testing.assert_close(found[f"{name}.running_mean"], layer.running_mean)
        unbiased = found[f"{name}.running_var"] * count / (count - 1)
        torch.testing.assert_close(unbiased, layer.running_var)
    assert found.keys() - parameters(model).keys() == {
        f"{name}.{buffer}" for name in "15" for buffer in ("running_mean", "running_var")
    }


def test_statistics_are_left_out_unless_asked_for() -> None:
    model, (data, labels) = with_batch_norm(), examples(3)
    target = F.one_hot(labels, CLASSES).double()
    found = Client(model).upload(data, target, torch.zeros(1, 1, dtype=torch.long))
    assert found.keys() == parameters(model).keys()


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_outputs_beside_the_statistics_are_the_models(training: bool) -> None:
    model, (data, _) = with_batch_norm().train(training), examples(4)
    outputs, statistics = with_statistics(model)(parameters(model), data)
    torch.testing.assert_close(outputs, model(data))
    torch.testing.assert_close(
        statistics["1.running_mean"], model.get_submodule("0")(data).mean((0, 2, 3))
    )
