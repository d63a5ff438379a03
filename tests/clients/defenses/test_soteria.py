"""Soteria, against its definition computed feature by feature."""

import pytest
import torch
import torch.nn.functional as F  # noqa: N812  (the name that everybody knows)
from torch import Tensor, nn

from fedsim.clients.defenses import Batch, Computed, Soteria
from fedsim.clients.training import differentiate
from fedsim.core.errors import ScenarioError
from fedsim.models import MLP, ConvNet, LeNet, ModelSpec

pytestmark = pytest.mark.numeric

SHAPE, CLASSES = (1, 8, 8), 5
SPECS = [LeNet(channels=2), ConvNet(channels=(3, 5)), MLP(hidden=(7,), activation="relu")]


def batch_of(size: int) -> Batch:
    rng = torch.Generator().manual_seed(1)
    images = torch.rand(size, *SHAPE, generator=rng)
    return Batch(images, torch.randint(CLASSES, (size,), generator=rng))


def run(fraction: float, model: nn.Module, batch: Batch) -> Computed:
    done = Soteria(fraction=fraction).compute_gradient(model, batch, torch.Generator())
    assert done is not None
    return done


def pruned_by_hand(model: nn.Module, image: Tensor, fraction: float) -> tuple[Tensor, Tensor]:
    """Return the representation of one image before and after pruning."""
    body = nn.Sequential(*list(model)[:-1])  # type: ignore[call-overload]
    r = body(image[None])[0].detach()
    slopes = torch.autograd.functional.jacobian(lambda x: body(x[None])[0], image)
    scores = [float(r[i].abs() / slopes[i].norm()) if float(r[i]) else 0.0 for i in range(len(r))]
    chosen = sorted(range(len(r)), key=lambda i: -scores[i])[: int(fraction * len(r))]
    after = r.clone()
    after[chosen] = 0
    return r, after


@pytest.mark.parametrize("spec", SPECS, ids=str)
@pytest.mark.parametrize("size", [1, 3])
@pytest.mark.parametrize("fraction", [0.25, 1.0])
def test_the_last_weights_gradient_is_that_of_pruned_features(
    spec: ModelSpec, size: int, fraction: float
) -> None:
    model, batch = spec.build(SHAPE, CLASSES, seed=0), batch_of(size)
    done = run(fraction, model, batch)
    expected, shares = torch.zeros(CLASSES, 1), []
    for image, label in zip(batch.inputs, batch.labels, strict=True):
        before, after = pruned_by_hand(model, image, fraction)
        error = model(image[None])[0].softmax(-1) - F.one_hot(label, CLASSES)
        expected = expected + error.detach()[:, None] * after / size
        shares.append(float((after - before).norm() / before.norm()))
    torch.testing.assert_close(done.gradients["head.weight"], expected, rtol=1e-4, atol=1e-6)
    change = pytest.approx(sum(shares) / size, rel=1e-4)
    assert done.did["representation_change"] == change
    assert done.did["pruned_fraction"] == pytest.approx(fraction, abs=0.15)


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_all_other_gradients_and_the_loss_stay(spec: ModelSpec) -> None:
    model, batch = spec.build(SHAPE, CLASSES, seed=0), batch_of(3)
    plain = differentiate(model, (batch.inputs, batch.labels))
    done = run(0.5, model, batch)
    assert done.loss == pytest.approx(plain.loss)
    changed = {k for k in plain.gradients if not torch.equal(plain.gradients[k], done.gradients[k])}
    assert changed == {"head.weight"}


def test_columns_of_one_example_vanish() -> None:
    model, batch = LeNet().build(SHAPE, CLASSES, seed=0), batch_of(1)
    weight = run(0.29, model, batch).gradients["head.weight"]
    empty = (weight == 0).all(0)
    assert int(empty.sum()) == int(0.29 * weight.shape[1])
    assert bool((weight[:, ~empty] != 0).all())


def test_a_model_in_which_nothing_can_be_pruned() -> None:
    model = nn.Sequential(nn.Conv2d(1, CLASSES, 8), nn.Flatten())
    with pytest.raises(ScenarioError, match="no dense layer"):
        run(0.5, model, batch_of(1))
    twice = nn.Linear(8, 8)
    with pytest.raises(ScenarioError, match="exactly once"):
        run(0.5, nn.Sequential(nn.Flatten(0, 2), twice, twice), batch_of(1))
