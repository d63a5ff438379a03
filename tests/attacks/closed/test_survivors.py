"""R-GAP on pruned gradients, by the equations that are left."""

import pytest
import torch
from torch import Tensor, nn

from fedsim.attacks import RGAP, Observation, Status
from fedsim.attacks.closed.rgap.equations import Gradient, Residuals
from fedsim.attacks.closed.rgap.least_squares import solved
from fedsim.attacks.closed.rgap.recursion import Known, Layer, layers_of
from fedsim.clients.defenses import Clipping, Pruning, RandomSparsification
from tests.victims import Victims, fashion_victims, random_victims

pytestmark = pytest.mark.numeric
ABOVE_ZERO = RGAP(floor=0.0)


def network(activation: nn.Module) -> nn.Module:
    """Two convolutions, of which the second has more inputs than the picture, and two dense."""
    torch.manual_seed(0)
    layers = nn.Sequential(
        nn.Conv2d(1, 8, 5, 2, 2),
        activation,
        nn.Sequential(nn.Conv2d(8, 8, 3, 1, 1), activation),
        nn.Flatten(),
        nn.Linear(8 * 16, 140),
        activation,
        nn.Linear(140, 4),
    )
    for parameter in layers.parameters():
        nn.init.uniform_(parameter, -0.5, 0.5)
    return layers.double()


def residuals(between: int, *, share: float = 0.3) -> tuple[Residuals, Tensor, Gradient]:
    """Return those of two victims, their true unknowns, and what has survived."""
    torch.manual_seed(1)
    layers = layers_of(network(nn.Tanh()), (1, 8, 8))
    at, truth = 2, torch.rand(2, *layers[2 - between].entering).double()
    layer: Layer = layers[at]
    with torch.no_grad():
        inside = truth
        for each in layers[2 - between : at]:
            inside = each.module(inside)
        output = layer.module(inside)
    delta = torch.randn_like(output)
    name = f"{layer.name}.weight"
    weight = layer.module.weight
    gradient = torch.stack(
        [
            torch.autograd.grad((layer.module(x[None]) * d).sum(), weight)[0]
            for x, d in zip(inside, delta, strict=True)
        ]
    )
    kept = {name: (torch.rand_like(gradient) > share).double()}
    known = Known(output, delta, torch.ones_like(output))
    whole = Residuals(layers[2 - between : at], layer, known, {name: gradient}, kept)
    return whole, truth, kept


@pytest.mark.parametrize("between", [0, 2])
def test_the_truth_has_no_residuals(between: int) -> None:
    equations, truth, _ = residuals(between)
    assert max(float(part.abs().max()) for part in equations.at(truth)) < 1e-9


@pytest.mark.parametrize("between", [0, 2])
def test_derivatives(between: int) -> None:
    """By finite differences; and ``pull`` is the transpose of ``push``."""
    equations, truth, _ = residuals(between)
    change, step = torch.randn_like(truth), 1e-5
    after, before = equations.at(truth + step * change), equations.at(truth - step * change)
    equations.at(truth)
    pushed = equations.push(change)
    for one, other, part in zip(after, before, pushed, strict=True):
        torch.testing.assert_close((one - other) / (2 * step), part, rtol=1e-5, atol=1e-6)
    pair = tuple(torch.randn_like(part) for part in pushed)
    there = sum(float((a * b).sum()) for a, b in zip(pushed, pair, strict=True))
    back = float((change * equations.pull((pair[0], pair[1]))).sum())
    assert there == pytest.approx(back, rel=1e-9)


@pytest.mark.parametrize("between", [0, 2])
def test_solved(between: int) -> None:
    equations, truth, _ = residuals(between)
    torch.testing.assert_close(solved(equations, truth), truth, rtol=0, atol=1e-4)


def test_most_of_the_gradient_is_pruned() -> None:
    """At 70 % the second convolution has 1,668 equations for its 2,352 inputs."""
    victims = fashion_victims(2)
    seen = victims.observations(Pruning(fraction=0.7))
    found = ABOVE_ZERO.run(victims.model, seen)
    assert [r.status for r in found] == [Status.COMPUTED] * 2
    assert all(torch.equal(r.labels, y) for r, y in zip(found, victims.labels, strict=True))
    assert victims.psnr(found).min() > 60
    assert victims.psnr(RGAP().run(victims.model, seen)).max() < 15  # zeros taken for values


@pytest.mark.parametrize("activation", [nn.Tanh(), nn.Sigmoid(), nn.Softplus(), nn.ELU()])
def test_dense_layers_and_other_activations(activation: nn.Module) -> None:
    """Exact, but for victims of whose gradient a feature has left nothing."""
    drawn = random_victims((1, 8, 8), count=3)
    victims = Victims(network(activation), drawn.images.double(), drawn.labels)
    found = ABOVE_ZERO.run(victims.model, victims.observations(Pruning(fraction=0.2)))
    computed = [i for i, r in enumerate(found) if r.data is not None]
    assert computed
    solved = Victims(victims.model, victims.images[computed], victims.labels[computed])
    assert solved.psnr([found[i] for i in computed]).min() > 60


def test_a_factor_on_the_whole_gradient_does_not_matter() -> None:
    victims = fashion_victims(1)
    seen = victims.observations(Pruning(fraction=0.7), Clipping(norm=0.5))
    assert victims.psnr(ABOVE_ZERO.run(victims.model, seen)).min() > 60


def test_victims_that_cannot_be_solved_do_not_hinder_others() -> None:
    victims = fashion_victims(2)
    good, bad = (
        victims.observations(d)[i]
        for i, d in enumerate((Pruning(fraction=0.5), Pruning(fraction=0.9)))
    )
    lost, found = ABOVE_ZERO.run(victims.model, [bad, good])
    assert lost.status is Status.FAILED
    assert "last layer" in str(lost.error)
    assert found.data is not None
    assert (found.data - victims.images[0]).abs().max() < 1e-2


def test_coordinates_that_were_dropped_at_random() -> None:
    """Those of the last layer no longer tell its features: no picture that nothing explains."""
    victims = fashion_victims(2)
    sparse = victims.observations(RandomSparsification(fraction=0.7, unbiased=True))
    assert {r.status for r in ABOVE_ZERO.run(victims.model, sparse)} == {Status.FAILED}


def test_another_loss_is_refused() -> None:
    victims = fashion_victims(1, shrink=2)
    [seen] = victims.observations()
    other = Observation(seen.gradient, seen.input_shape, 1, loss=nn.MSELoss())
    [found] = ABOVE_ZERO.run(victims.model, [other])
    assert "cross-entropy of classes" in str(found.error)
