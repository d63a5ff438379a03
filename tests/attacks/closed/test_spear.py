"""SPEAR: exact batches."""

import pytest
import torch
from torch import nn

from fedsim.attacks import SPEAR, Observation
from fedsim.attacks.closed.spear import _factorise, _independent, _sparsest
from fedsim.clients.defenses import GaussianNoise
from fedsim.core.errors import AttackError
from fedsim.models import MLP
from tests.victims import Victims, fashion_victims, random_victims


def clothes(count: int, batch_size: int) -> Victims:
    drawn = fashion_victims(count, batch_size=batch_size)
    model = MLP(hidden=(400,), activation="relu").build((1, 28, 28), 10, seed=0)
    return Victims(model, drawn.images, drawn.labels)


@pytest.mark.parametrize("batch_size", [1, 2, 5, 8])
def test_batches_are_exact(batch_size: int) -> None:
    """Every picture above 80 dB, with its own label, from a float32 upload."""
    victims = clothes(2, batch_size)
    found = SPEAR().run(victims.model, victims.observations())
    assert victims.psnr(found).min() > 80
    for reconstruction, images, labels in zip(found, victims.images, victims.labels, strict=True):
        assert reconstruction.data is not None
        assert reconstruction.labels is not None
        distance = torch.cdist(reconstruction.data.flatten(1), images.flatten(1))
        assert torch.equal(reconstruction.labels, labels[distance.argmin(1)])
        assert reconstruction.relative_objective < 1e-8


def test_deeper_networks() -> None:
    spec = MLP(hidden=(200, 50), activation="relu")
    victims = random_victims((1, 8, 8), count=1, batch_size=4, spec=spec)
    assert victims.psnr(SPEAR().run(victims.model, victims.observations())).min() > 80


def test_same_seed_same_result() -> None:
    victims = clothes(1, 4)
    one, other = (SPEAR().run(victims.model, victims.observations(), seed=3)[0] for _ in range(2))
    assert one.data is not None
    assert torch.equal(one.data, other.data)


def test_columns_are_told_from_their_mixtures() -> None:
    """A mixture is zero where both columns are; the columns themselves come first."""
    generator = torch.Generator().manual_seed(0)
    columns = torch.rand((40, 2), generator=generator).double()
    columns[:20, 0], columns[10:26, 1] = 0, 0
    mixture = torch.tensor([1.0, -1.0]).double() / 2**0.5
    pool = torch.stack([mixture, *torch.eye(2).double()])
    kept = _sparsest(pool, columns)
    torch.testing.assert_close(kept.abs(), torch.eye(2).double(), atol=1e-9, rtol=0)
    chosen = _independent(kept)
    assert chosen is not None
    assert torch.equal(chosen, kept)


@pytest.mark.parametrize(
    ("gradient", "size", "expected"),
    [
        (torch.rand(3, 20), 4, "both numbers must exceed"),
        (torch.rand(9, 1) @ torch.rand(1, 20), 2, "lower rank"),
        (torch.zeros(9, 20), 2, "lower rank"),
    ],
)
def test_what_cannot_be_separated(gradient: torch.Tensor, size: int, expected: str) -> None:
    with pytest.raises(AttackError, match=expected):
        _factorise(gradient, size)


def test_without_relu_and_under_noise_it_says_so() -> None:
    smooth = random_victims((1, 6, 6), count=1, batch_size=3, spec=MLP(hidden=(60,)))
    [found] = SPEAR(draws=9000).run(smooth.model, smooth.observations())
    assert "no ReLU follows" in (found.error or "")
    victims = clothes(1, 3)
    noisy = victims.observations(GaussianNoise(std=1e-2))
    [found] = SPEAR(draws=9000).run(victims.model, noisy)
    assert "not separated in 9000 draws" in (found.error or "")


def test_a_factorisation() -> None:
    gradient = torch.rand(9, 3).double() @ torch.rand(3, 20).double()
    left, right = _factorise(gradient, 3)
    torch.testing.assert_close(left @ right, gradient)


def test_updates_of_several_steps_are_declined() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 9), nn.ReLU(), nn.Linear(9, 3))
    before = {k: p.detach() for k, p in model.named_parameters()}
    after = {k: p - 0.1 for k, p in before.items()}
    seen = Observation.from_update(
        before, after, learning_rate=0.1, local_steps=2, input_shape=(1, 4, 4)
    )
    [found] = SPEAR().run(model, [seen])
    assert "update of several" in (found.error or "")
