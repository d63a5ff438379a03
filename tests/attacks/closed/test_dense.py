"""The closed form of a dense first layer."""

import pytest
import torch
from torch import nn

from fedsim.attacks import DenseInversion, Observation
from fedsim.attacks.closed.dense import first_dense
from fedsim.clients.defenses import GaussianNoise
from fedsim.core.errors import AttackError
from fedsim.models import MLP, LeNet
from tests.victims import random_victims

pytestmark = pytest.mark.numeric


@pytest.mark.parametrize("activation", ["relu", "sigmoid", "gelu", "tanh"])
def test_at_least_sixty_db(activation: str) -> None:
    spec = MLP(activation=activation)  # type: ignore[arg-type]
    victims = random_victims((3, 32, 32), count=3, spec=spec)
    found = DenseInversion().run(victims.model, victims.observations())
    assert victims.psnr(found).min() > 60
    assert all(torch.equal(r.labels, y) for r, y in zip(found, victims.labels, strict=True))


def test_all_rows_are_used() -> None:
    """The least-squares solution by hand, on a gradient that is no outer product."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 3))
    weight, bias = torch.rand(3, 4), torch.tensor([0.1, 0.0, -0.2])
    [found] = DenseInversion().run(
        model, [Observation({"1.weight": weight, "1.bias": bias}, (1, 2, 2))]
    )
    expected = (0.1 * weight[0] - 0.2 * weight[2]) / (0.1**2 + 0.2**2)
    assert found.data is not None
    torch.testing.assert_close(found.data.flatten(), expected.clamp(0, 1))


def test_noise_is_averaged() -> None:
    """Better than the single row with the largest entry, which is what is often published."""
    victims = random_victims((1, 16, 16), count=4, spec=MLP(hidden=(256,)))
    observations = victims.observations(GaussianNoise(std=1e-4))
    ours = victims.psnr(DenseInversion().run(victims.model, observations))
    name = first_dense(victims.model, (1, 16, 16))
    for position, seen in enumerate(observations):
        bias = seen.gradient[f"{name}.bias"]
        row = int(bias.abs().argmax())
        single = (seen.gradient[f"{name}.weight"][row] / bias[row]).view(1, 16, 16).clamp(0, 1)
        error = ((single - victims.images[position, 0]) ** 2).mean()
        assert ours[position] > -10 * torch.log10(error)


def test_only_shapes_may_change_in_front_of_it() -> None:
    assert first_dense(MLP().build((1, 4, 4), 3, seed=0), (1, 4, 4)) == "dense1"
    convolution = LeNet().build((1, 8, 8), 3, seed=0)
    with pytest.raises(AttackError, match="no dense layer with bias takes the unchanged input"):
        first_dense(convolution, (1, 8, 8))
    scaled = nn.Sequential(nn.Flatten(), nn.Tanh(), nn.Linear(16, 3))
    with pytest.raises(AttackError, match="takes the unchanged input"):
        first_dense(scaled, (1, 4, 4))


def test_nothing_to_divide_by() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 3))
    seen = Observation({"1.weight": torch.zeros(3, 4), "1.bias": torch.zeros(3)}, (1, 2, 2))
    [found] = DenseInversion().run(model, [seen])
    assert "zero everywhere" in (found.error or "")
