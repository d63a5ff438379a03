"""Clients whose dropout draws: attacked as if it did not, under equations that are wrong."""

import pytest
import torch
from torch import Tensor, nn

from fedsim.attacks import BestOf, Observation
from fedsim.clients.training import differentiate


def victim(probability: float) -> tuple[nn.Module, Observation, Tensor, Tensor]:
    """Return the model, the upload of a client in training mode, and its private batch."""
    torch.manual_seed(0)
    layers = [nn.Flatten(), nn.Linear(16, 20), nn.Sigmoid(), nn.Dropout(probability)]
    model = nn.Sequential(*layers, nn.Linear(20, 3)).double().train()
    data, labels = torch.rand(1, 1, 4, 4).double(), torch.tensor([1])
    gradient = differentiate(model, (data, labels)).gradients
    return model, Observation(gradient, (1, 4, 4)), data, labels


@pytest.mark.parametrize("probability", [0.0, 0.3])
def test_dropout_that_draws_is_wrong_equations(probability: float) -> None:
    model, seen, data, labels = victim(probability)
    attack = BestOf(evaluations=20)
    [found] = attack.run(model, [seen])
    assert found.error is None
    assert found.data is not None
    if probability == 0:
        assert torch.allclose(found.data, data, atol=1e-6)
    assert attack.truth_fit(model, seen, data, labels).explained is (probability == 0)
    assert model[3].training, "the model itself is not modified"


def test_the_global_generator_is_left_alone() -> None:
    model, seen, _, _ = victim(0.3)
    torch.manual_seed(7)
    wanted = torch.rand(3)
    torch.manual_seed(7)
    BestOf(evaluations=3).run(model, [seen])
    assert torch.equal(torch.rand(3), wanted)
