"""A model as a function is the model, and leaves it alone."""

import copy

import pytest
import torch
from torch import nn

from fedsim.attacks.functional import as_function, count_classes, parameters

pytestmark = pytest.mark.numeric


def with_batch_norm() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.Flatten(), nn.LazyLinear(5))


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_outputs_are_the_models(training: bool) -> None:
    model, images = with_batch_norm(), torch.rand(4, 1, 6, 6)
    model(images)
    model.train(training)
    before = copy.deepcopy(model.state_dict())
    outputs = as_function(model)(parameters(model), images)
    assert all(torch.equal(x, before[name]) for name, x in model.state_dict().items())
    torch.testing.assert_close(outputs, model(images))


def test_depends_on_the_parameters_given() -> None:
    model, inputs = nn.Linear(3, 2), torch.rand(1, 3)
    zeros = {name: torch.zeros_like(p) for name, p in parameters(model).items()}
    assert as_function(model)(zeros, inputs).tolist() == [[0, 0]]


def test_parameters_are_the_trainable_ones() -> None:
    model = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 2))
    model[0].requires_grad_(False)
    found = parameters(model)
    assert list(found) == ["1.weight", "1.bias"]
    assert not any(p.requires_grad for p in found.values())


def test_count_classes() -> None:
    model = with_batch_norm()
    model(torch.rand(2, 1, 6, 6))
    before = copy.deepcopy(model.state_dict())
    assert count_classes(model, (1, 6, 6)) == 5
    assert all(torch.equal(x, before[name]) for name, x in model.state_dict().items())
