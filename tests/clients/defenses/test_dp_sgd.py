"""DP-SGD, against a loop over the examples."""

import pytest
import torch
import torch.nn.functional as F  # noqa: N812  (the name that everybody knows)
from scipy import stats
from torch import Tensor, nn

from fedsim.clients.defenses import DPSGD, Batch, Mechanism
from fedsim.core.errors import ScenarioError
from fedsim.models import ConvNet, LeNet, ModelSpec, ResNet18
from tests.rounding import assert_same

pytestmark = pytest.mark.numeric

SHAPE, CLASSES = (1, 8, 8), 5
CONVNET = ConvNet(channels=(4, 8))


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def batch_of(size: int, soft: bool = False) -> Batch:
    rng = generator(1)
    images = torch.rand(size, *SHAPE, generator=rng)
    labels = torch.randint(CLASSES, (size,), generator=rng)
    return Batch(images, torch.rand(size, CLASSES, generator=rng).softmax(-1) if soft else labels)


def doubled(model: nn.Module, batch: Batch) -> tuple[nn.Module, Batch]:
    """Return both in double precision."""
    labels = batch.labels.double() if batch.labels.is_floating_point() else batch.labels
    return model.double(), Batch(batch.inputs.double(), labels)


def one_by_one(model: nn.Module, batch: Batch) -> list[dict[str, Tensor]]:
    found = []
    for image, label in zip(batch.inputs, batch.labels, strict=True):
        model.zero_grad()
        F.cross_entropy(model(image[None]), label[None]).backward()
        found.append({k: p.grad.clone() for k, p in model.named_parameters() if p.grad is not None})
    model.zero_grad()
    return found


def length(gradient: dict[str, Tensor]) -> float:
    return float(torch.cat([g.flatten() for g in gradient.values()]).norm())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("spec", "soft", "share"),
    [
        (LeNet(), True, 0.1),
        (LeNet(), False, 10.0),
        (CONVNET, False, 0.1),
        (CONVNET, True, 0.99),
        (ResNet18(batch_norm="eval"), False, 0.99),
    ],
    ids=str,
)
def test_clipping_is_that_of_a_loop(spec: ModelSpec, soft: bool, share: float) -> None:
    model, batch = doubled(spec.build(SHAPE, CLASSES, seed=0), batch_of(4, soft))
    alone = one_by_one(model, batch)
    norm = share * sorted(length(g) for g in alone)[2]
    done = DPSGD(norm=norm, noise_multiplier=0.0).compute_gradient(model, batch, generator())
    factors = [min(1.0, norm / length(g)) for g in alone]
    for name, value in done.gradients.items():
        expected = sum(f * g[name] for f, g in zip(factors, alone, strict=True)) / 4
        assert_same(value, expected)
    assert done.did["clipped_fraction"] == sum(length(g) > norm for g in alone) / 4
    assert done.did["noise_std"] == 0
    assert length(done.gradients) <= norm * (1 + 1e-9)


def test_noise_is_on_the_sum_and_in_units_of_the_norm() -> None:
    model, batch = LeNet().build(SHAPE, CLASSES, seed=0), batch_of(4)
    plain, noisy = (
        DPSGD(norm=0.5, noise_multiplier=m).compute_gradient(model, batch, generator())
        for m in (0.0, 3.0)
    )
    noise = torch.cat([(noisy.gradients[k] - g).flatten() for k, g in plain.gradients.items()])
    assert float(noise.std()) == pytest.approx(3.0 * 0.5 / 4, rel=0.02)
    assert float(noise.mean()) == pytest.approx(0, abs=0.01)
    assert stats.kstest(noise.double().numpy(), stats.norm(scale=3.0 * 0.5 / 4).cdf).pvalue > 0.01
    assert noisy.did["noise_std"] == pytest.approx(float(noise.square().mean().sqrt()), rel=1e-3)


def test_one_example_is_bounded_whatever_it_is() -> None:
    """Two batches that differ in one example differ by twice the norm over N at most."""
    model, batch = CONVNET.build(SHAPE, CLASSES, seed=0), batch_of(4)
    other = Batch(batch.inputs.clone(), batch.labels)
    other.inputs[2] = 1e4
    defense = DPSGD(norm=0.01, noise_multiplier=0.0)
    one, two = (defense.compute_gradient(model, b, generator()).gradients for b in (batch, other))
    assert 0 < length({k: one[k] - two[k] for k in one}) <= 2 * 0.01 / 4 * (1 + 1e-4)


def test_it_is_differential_privacy_only_with_noise() -> None:
    assert DPSGD(norm=1.0, noise_multiplier=0.0).mechanism() is None
    mechanism = DPSGD(norm=2.0, noise_multiplier=1.5, delta=1e-6).mechanism()
    assert mechanism == Mechanism(noise_multiplier=1.5, delta=1e-6, unit="example", norm=2.0)


def test_a_model_that_normalises_by_the_batch_is_refused() -> None:
    model = ResNet18().build(SHAPE, CLASSES, seed=0)
    with pytest.raises(ScenarioError, match=r"'bn1' .*BatchNorm2d.*batch_norm = 'eval'"):
        DPSGD(norm=1.0, noise_multiplier=1.0).compute_gradient(model, batch_of(2), generator())


def test_running_statistics_stay() -> None:
    model = ResNet18(batch_norm="eval").build(SHAPE, CLASSES, seed=0)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    DPSGD(norm=1.0, noise_multiplier=1.0).compute_gradient(model, batch_of(2), generator())
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())


@pytest.mark.filterwarnings("ignore:Full backward hook is firing")
@pytest.mark.parametrize("norm", [0.1, 1.0, 100.0])
def test_opacus_clips_alike(norm: float) -> None:
    opacus = pytest.importorskip("opacus")
    model, batch = doubled(CONVNET.build(SHAPE, CLASSES, seed=0), batch_of(4))
    ours = DPSGD(norm=norm, noise_multiplier=0.0).compute_gradient(model, batch, generator())
    lengths = [length(g) for g in one_by_one(model, batch)]
    wrapped = opacus.GradSampleModule(model)
    optimiser = opacus.optimizers.DPOptimizer(
        torch.optim.SGD(wrapped.parameters(), lr=1.0),
        noise_multiplier=0.0,
        max_grad_norm=norm,
        expected_batch_size=4,
    )
    F.cross_entropy(wrapped(batch.inputs), batch.labels).backward()
    optimiser.pre_step()
    for name, parameter in model.named_parameters():
        # Opacus divides by each length plus 1e-6.
        atol = 1e-6 * float(ours.gradients[name].abs().max()) / min(lengths)
        torch.testing.assert_close(parameter.grad, ours.gradients[name], rtol=0, atol=atol)
