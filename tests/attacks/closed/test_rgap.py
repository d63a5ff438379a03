"""R-GAP: pictures computed layer by layer."""

import pytest
import torch
from torch import nn

from fedsim.attacks import RGAP, Observation, Status
from fedsim.attacks.closed.rgap.recursion import ACTIVATIONS, layers_of
from fedsim.clients.defenses import Fp16, GaussianNoise
from fedsim.core.errors import AttackError
from fedsim.models import LeNet
from tests.victims import Victims, fashion_victims, photograph_victims, random_victims

pytestmark = pytest.mark.numeric


def network(activation: nn.Module, *, seed: int = 0) -> nn.Module:
    model = nn.Sequential(
        nn.Sequential(nn.Conv2d(1, 12, 5, 2, 2), activation),
        nn.Conv2d(12, 12, 5, 1, 2),
        activation,
        nn.Identity(),
        nn.Flatten(),
        nn.Linear(12 * 16, 20),
        activation,
        nn.Dropout(0.5).eval(),
        nn.Linear(20, 4),
    )
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        parameter.data = 0.5 * (torch.rand(parameter.shape, generator=generator) - 0.5)
    return model


def test_an_activation_that_is_used_again_is_a_layer_again() -> None:
    names = [layer.name for layer in layers_of(network(nn.Tanh()), (1, 8, 8))]
    assert names == ["0.0", "0.1", "1", "2", "3", "4", "5", "6", "7", "8"]


def test_photographs_are_computed() -> None:
    """Two colour pictures of 32 x 32 on the paper's network, each above 50 dB."""
    victims = photograph_victims(2)
    found = RGAP().run(victims.model, victims.observations())
    assert victims.psnr(found).min() > 50
    assert victims.grey_psnr().max() < 20
    assert [r.status for r in found] == [Status.COMPUTED] * 2
    assert all(torch.equal(r.labels, y) for r, y in zip(found, victims.labels, strict=True))
    assert max(r.relative_objective for r in found) < 1e-6


def test_threads_do_not_matter() -> None:
    """Some batched factorisations of oneMKL are wrong on several threads."""
    victims = photograph_victims(4)
    torch.set_num_threads(2)
    assert victims.psnr(RGAP().run(victims.model, victims.observations())).min() > 50


def test_double_precision_is_exact() -> None:
    drawn = fashion_victims(2)
    victims = Victims(drawn.model.double(), drawn.images.double(), drawn.labels)
    assert victims.psnr(RGAP().run(victims.model, victims.observations())).min() > 80


@pytest.mark.parametrize("kind", [k for k in ACTIVATIONS if k is not nn.ReLU])
def test_every_activation(kind: type[nn.Module]) -> None:
    drawn = random_victims((1, 8, 8), count=2)
    victims = Victims(network(kind()).double(), drawn.images.double(), drawn.labels)
    assert victims.psnr(RGAP().run(victims.model, victims.observations())).min() > 30


def test_relu_where_it_is_active() -> None:
    """One convolution followed by ReLU: inactive outputs are unknown, the gradient fills in."""
    model = nn.Sequential(
        nn.Conv2d(1, 24, 5, 1, 2), nn.ReLU(), nn.Flatten(), nn.Linear(24 * 64, 4)
    ).double()
    drawn = random_victims((1, 8, 8), count=2)
    victims = Victims(model, drawn.images.double(), drawn.labels)
    assert victims.psnr(RGAP().run(victims.model, victims.observations())).min() > 30


def test_the_inverse_of_each_activation() -> None:
    z = torch.linspace(-3, 3, 61).double().requires_grad_()
    for kind, make in ACTIVATIONS.items():
        module = kind()
        h = module(z)
        [slope] = torch.autograd.grad(h.sum(), z)
        inverse = make(module)
        h = h.detach()[None]
        certain = inverse.certain(h).bool()
        assert certain.any()
        torch.testing.assert_close(
            inverse.undo(h)[certain], z.detach()[None][certain], rtol=0, atol=1e-6
        )
        torch.testing.assert_close(inverse.slope(h)[certain], slope[None][certain])


@pytest.mark.parametrize("memory_gb", [1e-9, 0.05])
def test_chunks_do_not_matter(memory_gb: float) -> None:
    victims = fashion_victims(3, shrink=2)
    observations = victims.observations()
    whole = RGAP().run(victims.model, observations)
    parts = RGAP(memory_gb=memory_gb).run(victims.model, observations)
    for one, other in zip(whole, parts, strict=True):
        assert one.data is not None
        torch.testing.assert_close(one.data, other.data, rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (nn.GELU(), "GELU"),
        (nn.AvgPool2d(2), "AvgPool2d"),
        (nn.BatchNorm2d(1), "BatchNorm2d"),
        (nn.Conv2d(1, 1, 3, dilation=2, padding=2), "dilation"),
        (nn.Dropout(), "Dropout"),
    ],
    ids=str,
)
def test_a_layer_that_cannot_be_inverted_is_named(layer: nn.Module, expected: str) -> None:
    model = nn.Sequential(layer, nn.Flatten(), nn.LazyLinear(3))
    model.eval()(torch.zeros(1, 1, 8, 8))
    with pytest.raises(AttackError, match=f"layer '0'.*{expected}.*use an attack"):
        layers_of(model.train(), (1, 8, 8))


def test_what_it_declines() -> None:
    victims = random_victims((1, 8, 8), count=1, batch_size=4)
    [found] = RGAP().run(victims.model, victims.observations())
    assert "at most 3 examples" in (found.error or "")
    assert "the gradient of 4 examples" in (found.error or "")
    headless = nn.Sequential(nn.Flatten(), nn.Linear(64, 4, bias=False))
    gradient = {"1.weight": torch.rand(4, 64)}
    [found] = RGAP().run(headless, [Observation(gradient, (1, 8, 8))])
    assert "does not end in a dense layer with bias" in (found.error or "")


def test_rounding_degrades_it_and_noise_breaks_it_visibly() -> None:
    """What it makes of a defended upload is finite, and its objective tells."""
    victims = fashion_victims(3, shrink=2)
    clean, rounded, noisy = (
        RGAP().run(victims.model, victims.observations(*defenses))
        for defenses in ((), (Fp16(),), (GaussianNoise(std=0.1),))
    )
    assert victims.psnr(clean).median() > victims.psnr(rounded).median() + 10
    assert min(r.relative_objective for r in noisy) > 1e-2
    assert max(r.relative_objective for r in clean) < 1e-6


def test_weaker_weights() -> None:
    victims = random_victims((3, 16, 16), count=2, spec=LeNet(init_range=0.2))
    assert victims.psnr(RGAP().run(victims.model, victims.observations())).min() > 50
