"""What a client's new weights tell of its gradient."""

import math

import pytest
import torch
from torch import Tensor, nn

from fedsim.attacks import LocalTraining, Observation
from fedsim.clients.training import gradient, local_training
from fedsim.core.errors import AttackError
from fedsim.models import LeNet
from tests.victims import Shape

SHAPE: Shape = (1, 8, 8)
RATE = 0.25
Batch = tuple[Tensor, Tensor]


def model() -> nn.Module:
    return LeNet().build(SHAPE, 4, seed=0).double()


def batches(count: int) -> list[Batch]:
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(count, 2, *SHAPE, generator=generator, dtype=torch.float64)
    labels = torch.randint(4, (count, 2), generator=generator)
    return list(zip(images, labels, strict=True))


def update(steps: list[Batch]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    net = model()
    before = {name: p.detach().clone() for name, p in net.named_parameters()}
    return before, local_training(net, steps, RATE).arrays


def test_one_step_of_sgd_is_exact() -> None:
    [batch] = batches(1)
    before, after = update([batch])
    seen = Observation.from_update(
        before, after, learning_rate=RATE, input_shape=SHAPE, batch_size=2
    )
    exact = gradient(model(), batch).arrays
    assert seen.gradient.keys() == exact.keys()
    for name, expected in exact.items():
        torch.testing.assert_close(seen.gradient[name], expected, rtol=1e-10, atol=1e-12)
    assert (seen.batch_size, seen.input_shape, seen.labels) == (2, SHAPE, None)


def test_several_steps_give_their_mean_gradient() -> None:
    """Each step's gradient is taken at the weights that the steps before it left."""
    steps = batches(3)
    before, after = update(steps)
    seen = Observation.from_update(
        before, after, learning_rate=RATE, local_steps=3, input_shape=SHAPE, batch_size=2
    )
    net, gradients = model(), []
    optimizer = torch.optim.SGD(net.parameters(), lr=RATE)
    for images, labels in steps:
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(images), labels).backward()
        gradients.append({name: p.grad.clone() for name, p in net.named_parameters()})
        optimizer.step()
    for name in before:
        mean = torch.stack([each[name] for each in gradients]).mean(0)
        torch.testing.assert_close(seen.gradient[name], mean, rtol=1e-9, atol=1e-12)
    assert seen.batch_size == 6


@pytest.mark.parametrize(
    ("rate", "steps"), [(0.0, 1), (-0.1, 1), (math.nan, 1), (math.inf, 1), (0.1, 0), (0.1, -2)]
)
def test_impossible_training(rate: float, steps: int) -> None:
    before, after = update(batches(1))
    with pytest.raises(AttackError, match="positive learning rate and at least one local step"):
        Observation.from_update(
            before, after, learning_rate=rate, local_steps=steps, input_shape=SHAPE
        )


@pytest.mark.parametrize(
    ("spoilt", "reason"),
    [
        ({}, r"update of 'w': expected shape \(2,\), found nothing"),
        ({"w": torch.zeros(3)}, r"update of 'w': expected shape \(2,\), found shape \(3,\)"),
    ],
)
def test_an_update_that_does_not_fit(spoilt: dict[str, Tensor], reason: str) -> None:
    with pytest.raises(AttackError, match=reason):
        Observation.from_update({"w": torch.zeros(2)}, spoilt, learning_rate=0.1, input_shape=SHAPE)


@pytest.mark.parametrize("exact", [True, False])
def test_training_is_remembered(exact: bool) -> None:
    before, after = update(batches(3))
    seen = Observation.from_update(
        before,
        after,
        learning_rate=RATE,
        local_steps=3,
        input_shape=SHAPE,
        batch_size=2,
        exact=exact,
    )
    assert seen.training == LocalTraining(RATE, steps=3, batch_size=2, exact=exact)


def test_one_step_is_a_gradient_unless_its_rate_is_a_guess() -> None:
    before, after = update(batches(1))
    known, guessed = (
        Observation.from_update(
            before, after, learning_rate=RATE, input_shape=SHAPE, batch_size=2, exact=exact
        )
        for exact in (True, False)
    )
    assert known.training is None
    assert guessed.training == LocalTraining(RATE, steps=1, batch_size=2, exact=False)


@pytest.mark.parametrize(("examples", "expected"), [(None, 6), (6, 6), (3, 3), (2, 2)])
def test_passes_over_fewer_examples(examples: int | None, expected: int) -> None:
    before, after = update(batches(3))
    seen = Observation.from_update(
        before,
        after,
        learning_rate=RATE,
        local_steps=3,
        input_shape=SHAPE,
        batch_size=2,
        examples=examples,
    )
    assert seen.batch_size == expected
    assert seen.training is not None
    assert seen.training.batch_size == 2


@pytest.mark.parametrize("examples", [1, 7])
def test_impossible_number_of_examples(examples: int) -> None:
    before, after = update(batches(3))
    with pytest.raises(AttackError, match=f"used {examples} different ones: expected 2 to 6"):
        Observation.from_update(
            before,
            after,
            learning_rate=RATE,
            local_steps=3,
            input_shape=SHAPE,
            batch_size=2,
            examples=examples,
        )


def test_local_trainings_are_equal_by_value() -> None:
    """Observations of the same local training are attacked together, so it must be a key."""
    one, same, other = LocalTraining(0.1, 2, 1), LocalTraining(0.1, 2, 1), LocalTraining(0.1, 2, 2)
    assert len({one, same, other}) == 2
