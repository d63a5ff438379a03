"""Copies of a model with smooth activations and average pooling."""

import copy

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from fedsim.engine.ladder.simplify import (
    ACTIVATIONS,
    POOLINGS,
    depends_on_mode,
    replaced,
    used,
)
from tests.fedsim.engine.ladder.nets import Easy, Small, seeded

EXAMPLES = torch.rand((2, 1, 8, 8), generator=torch.Generator().manual_seed(0))


def test_functions_are_replaced_in_modules_and_where_they_are_called() -> None:
    model, wanted = seeded(Small), seeded(Easy)
    made = replaced(model, ACTIVATIONS, POOLINGS)
    assert torch.equal(made(EXAMPLES), wanted(EXAMPLES))
    assert not torch.equal(model(EXAMPLES), wanted(EXAMPLES))
    assert list(made.state_dict()) == list(model.state_dict())


def test_a_copy_of_a_changed_model_has_weights_of_its_own() -> None:
    made = replaced(seeded(Small), ACTIVATIONS, POOLINGS)
    again = copy.deepcopy(made)
    with torch.no_grad():
        again.get_parameter("two.bias").add_(1)
    assert torch.allclose(again(EXAMPLES), made(EXAMPLES) + 1)


def test_changed_models_are_mapped_and_differentiated() -> None:
    made, wanted = replaced(seeded(Small), ACTIVATIONS, POOLINGS), seeded(Easy)

    def slopes(model: nn.Module) -> Tensor:
        state = dict(model.state_dict())

        def total(one: Tensor) -> Tensor:
            found: Tensor = functional_call(model, state, (one[None],))
            return found.sum()

        return vmap(grad(total))(EXAMPLES)

    assert torch.equal(slopes(made), slopes(wanted))


def test_the_functions_of_a_model_are_found() -> None:
    assert used(seeded(Small), EXAMPLES, ACTIVATIONS) == ["relu"]
    assert used(seeded(Small), EXAMPLES, POOLINGS) == ["max_pool2d"]
    assert used(seeded(Easy), EXAMPLES, {**ACTIVATIONS, **POOLINGS}) == []


def test_layers_that_depend_on_the_mode_are_found() -> None:
    assert depends_on_mode(nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.5)))
    assert depends_on_mode(nn.Sequential(nn.Conv2d(1, 1, 1), nn.BatchNorm2d(1)))
    assert not depends_on_mode(seeded(Small))
