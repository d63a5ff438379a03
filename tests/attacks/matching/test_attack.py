"""The loop computes the client's own gradient, and the relative objective of given data."""

import pytest
import torch
from torch import nn

from fedsim.attacks import DLG, IDLG, GradientMatching, Observation
from fedsim.attacks.matching.client import Client
from fedsim.clients.training import gradient
from fedsim.models import MLP, ConvNet, LeNet, ModelSpec, ResNet18
from tests.victims import Shape, Victims, fashion_victims, random_victims

SHAPE: Shape = (3, 12, 12)
SPECS = [LeNet(), MLP(), ConvNet(), ResNet18(), ResNet18(batch_norm="eval")]

every_model = pytest.mark.parametrize("spec", SPECS, ids=str)


def wide_victims(spec: ModelSpec, count: int = 1) -> Victims:
    """Victims in float64, where both ways of differentiating agree to many digits."""
    drawn = random_victims(SHAPE, count=count, batch_size=2, spec=spec)
    return Victims(drawn.model.double(), drawn.images.double(), drawn.labels)


@pytest.mark.slow
@every_model
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_dummy_gradient_is_the_clients(spec: ModelSpec, training: bool) -> None:
    victims = wide_victims(spec)
    victims.model.train(training)
    target = nn.functional.one_hot(victims.labels[0], 4).double()
    dummy = Client(victims.model).upload(victims.images[0], target, torch.zeros(1, 1))
    exact = gradient(victims.model, (victims.images[0], victims.labels[0])).arrays
    assert dummy.keys() == dict(victims.model.named_parameters()).keys()
    for name, found in dummy.items():
        torch.testing.assert_close(found, exact[name], rtol=1e-8, atol=1e-10)


@every_model
@pytest.mark.slow
def test_objective_of_the_truth_and_of_something_else(spec: ModelSpec) -> None:
    victims = wide_victims(spec)
    [seen] = victims.observations()
    images, labels = victims.images[0], victims.labels[0]
    assert DLG().relative_objective_of(victims.model, seen, images, labels) < 1e-20
    assert DLG().relative_objective_of(victims.model, seen, images.flip(0), labels.flip(0)) < 1e-20
    assert DLG().relative_objective_of(victims.model, seen, 1 - images, labels) > 1e-6
    assert DLG().relative_objective_of(victims.model, seen, images, (labels + 1) % 4) > 1e-3


def test_objective_is_relative_to_a_zero_gradient() -> None:
    """Logistic regression: at certainty the gradient is zero, the relative objective 1."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    nn.init.zeros_(model[1].weight)
    with torch.no_grad():
        model[1].bias.copy_(torch.tensor([1000.0, 0.0]))
    shared = {"1.weight": torch.rand(2, 4), "1.bias": torch.rand(2)}
    seen = Observation(shared, (1, 2, 2))
    assert IDLG().relative_objective_of(model, seen, torch.rand(1, 1, 2, 2), torch.tensor([0])) == 1


def test_objective_of_the_reconstruction_is_the_reported_one() -> None:
    victims = random_victims((1, 8, 8), count=1)
    [found] = IDLG(evaluations=4).run(victims.model, victims.observations())
    assert found.data is not None
    assert found.labels is not None
    [seen] = victims.observations()
    fit = IDLG().relative_objective_of(victims.model, seen, found.data, found.labels)
    assert fit == pytest.approx(found.relative_objective, rel=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [DLG, IDLG])
def test_single_pictures_are_recovered(kind: type[GradientMatching]) -> None:
    """Every one of 4 small pictures of clothes above 40 dB."""
    victims = fashion_victims(4, shrink=2)
    found = kind(evaluations=400).run(victims.model, victims.observations())
    assert victims.psnr(found).min() > 40
    assert all(torch.equal(r.labels, y) for r, y in zip(found, victims.labels, strict=True))


@pytest.mark.parametrize("kind", [DLG, IDLG])
@pytest.mark.slow
def test_pairs_of_pictures_are_recovered(kind: type[GradientMatching]) -> None:
    """Every one of 4 pairs above 30 dB in both pictures, which come back in any order."""
    victims = fashion_victims(4, batch_size=2, shrink=2)
    found = kind(evaluations=800).run(victims.model, victims.observations())
    assert victims.psnr(found).min() > 30
    assert victims.grey_psnr().max() < 20


def test_starts() -> None:
    """Mid-grey with a little noise, or N(0, 1), of which half and a sixth leave [0, 1]."""
    victims = random_victims((3, 12, 12), count=1)
    grey, normal = (
        kind.run(victims.model, victims.observations())[0].history[0].data
        for kind in (DLG(evaluations=1), DLG(evaluations=1, start="normal"))
    )
    assert grey.mean() == pytest.approx(0.5, abs=0.02)
    assert grey.std() == pytest.approx(0.1, abs=0.02)
    assert (normal == 0).float().mean() == pytest.approx(0.5, abs=0.06)
    assert (normal == 1).float().mean() == pytest.approx(0.16, abs=0.06)
