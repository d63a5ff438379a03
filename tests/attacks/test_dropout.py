"""Clients whose dropout draws: attacked as if it did not, under equations that are wrong."""

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from fedsim.attacks import BestOf, Observation
from fedsim.clients.training import differentiate
from fedsim.core.modules import draws


class Functional(nn.Module):
    """Layers whose forward pass calls dropout itself."""

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.first, self.last, self.chance = nn.Linear(16, 20), nn.Linear(20, 3), probability

    def forward(self, x: Tensor) -> Tensor:
        features = torch.sigmoid(self.first(x.flatten(1)))
        return self.last(F.dropout(features, self.chance, self.training))


class Attending(nn.Module):
    """Attention with a probability of dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(4, 2, dropout=0.3, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        rows = x.flatten(1, 2)
        found: Tensor = self.attention(rows, rows, rows, need_weights=False)[0]
        return found.flatten(1)


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


@pytest.mark.parametrize("probability", [0.0, 0.3])
def test_dropout_in_a_forward_pass_is_attacked_alike(probability: float) -> None:
    torch.manual_seed(0)
    model = Functional(probability).double().train()
    data, labels = torch.rand(1, 1, 4, 4).double(), torch.tensor([1])
    seen = Observation(differentiate(model, (data, labels)).gradients, (1, 4, 4))
    attack = BestOf(evaluations=20)
    [found] = attack.run(model, [seen])
    assert found.error is None
    assert attack.truth_fit(model, seen, data, labels).explained is (probability == 0)


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (Functional(0.3), True),
        (Functional(0.0), False),
        (Functional(0.3).eval(), False),
        (Attending(), True),
        (Attending().eval(), False),
        (nn.Sequential(nn.Flatten(), nn.BatchNorm1d(16)), False),
        (nn.Sequential(nn.Flatten(), nn.Dropout(0.3)), True),
        (nn.Linear(3, 3), False),  # it does not take such inputs
    ],
)
def test_draws_are_found_wherever_they_are_drawn(model: nn.Module, expected: bool) -> None:
    torch.manual_seed(7)
    state = torch.get_rng_state()
    assert draws(model, torch.rand(2, 1, 4, 4, generator=torch.Generator())) is expected
    assert torch.equal(torch.get_rng_state(), state)


def test_the_global_generator_is_left_alone() -> None:
    model, seen, _, _ = victim(0.3)
    torch.manual_seed(7)
    wanted = torch.rand(3)
    torch.manual_seed(7)
    BestOf(evaluations=3).run(model, [seen])
    assert torch.equal(torch.rand(3), wanted)
