"""R-GAP on pruned gradients and on batches."""

import pytest
import torch
from torch import Tensor, nn

from fedsim.attacks import RGAP, Observation, Status
from fedsim.attacks.closed.rgap.equations import Residuals
from fedsim.attacks.closed.rgap.head import features_of
from fedsim.attacks.closed.rgap.least_squares import solved
from fedsim.attacks.closed.rgap.recursion import Known, layers_of
from fedsim.clients.defenses import Clipping, GaussianNoise, Pruning, RandomSparsification
from fedsim.models import LeNet
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


def residuals(between: int, examples: int, place: int = 2) -> tuple[Residuals, Tensor]:
    """Return those of two victims, of whose gradient a fifth is pruned, and the true unknowns."""
    torch.manual_seed(1)
    layers = layers_of(network(nn.Tanh()), (1, 8, 8))
    layer, before = layers[place], layers[place - between : place]
    truth = torch.rand(2, examples, *layers[place - between].entering).double()
    inside = truth.flatten(0, 1)
    with torch.no_grad():
        for each in before:
            inside = each.module(inside)
        output = layer.module(inside)
    delta, name, weight = torch.randn_like(output), f"{layer.name}.weight", layer.module.weight
    rows = zip(inside.chunk(2), delta.chunk(2), strict=True)
    each = [torch.autograd.grad((layer.module(x) * d).sum(), weight)[0] for x, d in rows]
    gradient = {name: torch.stack(each)}
    kept = {name: (torch.rand_like(gradient[name]) > 0.2).double()}
    known = Known(output, delta, torch.ones_like(output))
    return Residuals(before, layer, known, gradient, kept), truth


CASES = pytest.mark.parametrize(
    ("between", "examples", "place"), [(0, 1, 2), (2, 1, 2), (0, 3, 2), (2, 3, 2), (0, 2, 5)]
)


@CASES
def test_the_truth_has_no_residuals(between: int, examples: int, place: int) -> None:
    equations, truth = residuals(between, examples, place)
    assert max(float(part.abs().max()) for part in equations.at(truth)) < 1e-9


@CASES
def test_derivatives(between: int, examples: int, place: int) -> None:
    """By finite differences; and ``pull`` is the transpose of ``push``."""
    equations, truth = residuals(between, examples, place)
    change, step = torch.randn_like(truth), 1e-5
    after, before = equations.at(truth + step * change), equations.at(truth - step * change)
    equations.at(truth)
    pushed = equations.push(change)
    for one, other, part in zip(after, before, pushed, strict=True):
        torch.testing.assert_close((one - other) / (2 * step), part, rtol=1e-5, atol=1e-6)
    output, values = (torch.randn_like(part) for part in pushed)
    there = float((pushed[0] * output).sum() + (pushed[1] * values).sum())
    back = float((change * equations.pull((output, values))).sum())
    assert there == pytest.approx(back, rel=1e-9)


@CASES
def test_solved(between: int, examples: int, place: int) -> None:
    equations, truth = residuals(between, examples, place)
    torch.testing.assert_close(solved(equations, truth), truth, rtol=0, atol=1e-4)


@pytest.mark.parametrize("count", [2, 3])
def test_features_of_a_batch(count: int) -> None:
    """Exact in double precision, each with the derivative by it."""
    victims = fashion_victims(2, batch_size=count).double()
    layers = layers_of(victims.model, (1, 28, 28))
    seen = victims.observations()
    gradient = {k: torch.stack([o.gradient[k] for o in seen]) for k in seen[0].gradient}
    kept = {k: torch.ones_like(g) for k, g in gradient.items()}
    known, complete = features_of(layers[-1], gradient, kept, victims.labels)
    assert complete.all()
    body, head = victims.model[:-1], victims.model[-1]
    for v in range(2):
        inside = body(victims.images[v]).detach().requires_grad_()
        loss = nn.functional.cross_entropy(head(inside), victims.labels[v])
        (delta,) = torch.autograd.grad(loss, inside)
        torch.testing.assert_close(known.features.view(2, count, -1)[v], inside, atol=1e-4, rtol=0)
        torch.testing.assert_close(known.delta.view(2, count, -1)[v], delta, atol=1e-4, rtol=0)


def test_batches() -> None:
    """Two clothes each, whose second convolution has 4,776 equations for its 4,704 inputs."""
    victims = fashion_victims(2, batch_size=2)
    found = RGAP().run(victims.model, victims.observations())
    assert [r.status for r in found] == [Status.COMPUTED] * 2
    assert victims.psnr(found).min() > 60
    assert max(r.relative_objective for r in found) < 1e-8


@pytest.mark.parametrize("activation", [nn.Tanh(), nn.ELU(), nn.LeakyReLU()])
def test_batches_through_dense_layers(activation: nn.Module) -> None:
    """Pairs of noise, exact."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Flatten(), nn.Linear(64, 40), activation, nn.Linear(40, 30), activation, nn.Linear(30, 6)
    )
    victims = random_victims((1, 8, 8), count=3, batch_size=2, classes=6)
    victims = Victims(model.double(), victims.images.double(), victims.labels)
    found = RGAP().run(model, victims.observations())
    assert victims.psnr(found).min() > 60


def test_it_can_be_stopped_between_parts_of_the_victims() -> None:
    victims = random_victims((1, 8, 8), count=10, batch_size=2)
    answers = iter([False, True])
    found = RGAP().run(victims.model, victims.observations(), should_stop=lambda: next(answers))
    assert Status.COMPUTED in {r.status for r in found[:8]}
    assert {r.error for r in found[8:]} == {"stopped before the first evaluation"}


def test_examples_that_are_too_alike() -> None:
    """A picture twice: the gradient is that of the picture, and there are no two to tell apart."""
    drawn = fashion_victims(1, batch_size=2)
    twice = drawn.images[:, :1].repeat(1, 2, 1, 1, 1), drawn.labels[:, :1].repeat(1, 2)
    victims = Victims(drawn.model, *twice)
    [found] = RGAP().run(victims.model, victims.observations(labels_known=True))
    assert "does not tell what enters it" in str(found.error)


def test_noise_on_a_batch() -> None:
    victims = fashion_victims(1, batch_size=2)
    [found] = RGAP().run(victims.model, victims.observations(GaussianNoise(std=1e-2)))
    assert "does not tell what enters it" in str(found.error)


def test_too_few_equations() -> None:
    """Two colour pictures, whose second convolution has 5,136 for 6,144 pixels."""
    victims = random_victims((3, 32, 32), count=1, batch_size=2, spec=LeNet(), classes=10)
    [found] = RGAP().run(victims.model, victims.observations())
    assert "'conv2' gives 5136 equations for 6144 unknowns" in str(found.error)


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
    """Exact, or nearly so where features have left nothing in the gradient."""
    drawn = random_victims((1, 8, 8), count=3)
    victims = Victims(network(activation), drawn.images.double(), drawn.labels)
    found = ABOVE_ZERO.run(victims.model, victims.observations(Pruning(fraction=0.2)))
    computed = [i for i, r in enumerate(found) if r.data is not None]
    assert computed
    solved = Victims(victims.model, victims.images[computed], victims.labels[computed])
    scores = solved.psnr([found[i] for i in computed])
    assert scores.median() > 60
    assert scores.min() > 25


def test_features_of_which_nothing_has_survived() -> None:
    """As in trained networks, where many are nearly zero: two channels of twelve."""
    victims = fashion_victims(2)
    with torch.no_grad():
        victims.model.get_submodule("conv3").bias[:2] -= 12
    found = ABOVE_ZERO.run(victims.model, victims.observations(Pruning(fraction=0.3)))
    assert victims.psnr(found).min() > 40


def test_a_factor_on_the_whole_gradient_does_not_matter() -> None:
    victims = fashion_victims(1)
    seen = victims.observations(Pruning(fraction=0.7), Clipping(norm=0.5))
    assert victims.psnr(ABOVE_ZERO.run(victims.model, seen)).min() > 60
    pair = fashion_victims(1, batch_size=2)
    clipped = pair.observations(Clipping(norm=0.5))
    assert pair.psnr(RGAP(scaled=True).run(pair.model, clipped)).min() > 60


def test_victims_that_cannot_be_solved_do_not_hinder_others() -> None:
    victims = fashion_victims(2)
    good, bad = (
        victims.observations(d)[i]
        for i, d in enumerate((Pruning(fraction=0.5), Pruning(fraction=0.9)))
    )
    lost, found = ABOVE_ZERO.run(victims.model, [bad, good])
    assert lost.status is Status.FAILED
    assert "does not tell what enters it" in str(lost.error)
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
