"""Losses of any model as attacks take them."""

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from fedsim.attacks import DLG, DenseInversion, Observation, as_loss, mean_cross_entropy
from fedsim.core.errors import AttackError

GENERATOR = torch.Generator().manual_seed(0)
LOGITS = torch.randn(5, 3, generator=GENERATOR, dtype=torch.float64)
CLASSES = torch.tensor([0, 2, 1, 1, 0])
WEIGHT = torch.tensor([0.2, 1.0, 3.0], dtype=torch.float64)


@pytest.mark.parametrize("weight", [None, WEIGHT])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_cross_entropy_is_pytorchs(weight: Tensor | None, smoothing: float) -> None:
    module = nn.CrossEntropyLoss(weight, label_smoothing=smoothing)
    found = as_loss(module)(LOGITS, F.one_hot(CLASSES, 3).double())
    assert torch.isclose(found, module(LOGITS, CLASSES), rtol=1e-12)


def test_plain_losses_are_recognised() -> None:
    for plain in (None, F.cross_entropy, nn.CrossEntropyLoss(), mean_cross_entropy):
        assert as_loss(plain) is mean_cross_entropy
    mse = nn.MSELoss()
    assert as_loss(mse) is mse


@pytest.mark.parametrize("wrong", ["mse", nn.CrossEntropyLoss(reduction="sum")])
def test_other_losses_are_refused(wrong: object) -> None:
    with pytest.raises(AttackError, match="loss: "):
        as_loss(wrong)


@pytest.mark.parametrize(
    ("loss", "target"),
    [
        (nn.MSELoss(), torch.tensor([[0.3, -1.2, 2.0]])),
        (nn.BCEWithLogitsLoss(), torch.tensor([[1.0, 0.0, 1.0]])),
    ],
)
def test_the_closed_form_solves_for_the_target(loss: nn.Module, target: Tensor) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 8), nn.Tanh(), nn.Linear(8, 3)).double()
    inputs = torch.rand(1, 1, 4, 4, dtype=torch.float64)
    loss(model(inputs), target.double()).backward()
    observation = Observation.from_grads(model, input_shape=(1, 4, 4), loss=as_loss(loss))
    [found] = DenseInversion().run(model, [observation])
    assert found.data is not None
    assert found.labels is not None
    assert torch.allclose(found.data, inputs, atol=1e-7)
    assert torch.allclose(found.labels, target.double(), atol=1e-6)
    assert found.relative_objective < 1e-12


def test_a_search_finds_a_target_that_is_no_distribution() -> None:
    """The dummy target of a regression is a number; probabilities of one class would all be 1."""
    generator = torch.Generator().manual_seed(0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Flatten(), nn.Linear(16, 12), nn.Sigmoid(), nn.Linear(12, 1))
    model, loss = model.double(), nn.MSELoss()
    picture = torch.rand(1, 1, 4, 4, generator=generator, dtype=torch.float64)
    loss(model(picture), torch.tensor([[2.5]], dtype=torch.float64)).backward()
    seen = Observation.from_grads(model, input_shape=(1, 4, 4), loss=loss)
    [found] = DLG(evaluations=300).run(model, [seen])
    assert found.labels is not None
    assert found.data is not None
    assert float(found.labels) == pytest.approx(2.5, abs=0.05)
    assert torch.allclose(found.data, picture, atol=0.05)
