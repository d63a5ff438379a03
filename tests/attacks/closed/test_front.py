"""Linear layers in front of a dense one are measured and undone."""

import pytest
import torch
from torch import Tensor, nn

from fedsim.attacks.closed.front import MOST_NUMBERS, entering, front_of
from fedsim.core.errors import AttackError
from fedsim.models import MLP, ViT
from tests.rounding import assert_same

SHAPE = (1, 6, 6)
LOW, HIGH = -torch.ones(SHAPE), torch.ones(SHAPE)


def mixing() -> nn.Module:
    """Return a model that mixes the numbers of a picture in front of its dense layer."""
    torch_generator = torch.Generator().manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.Flatten(), nn.Linear(144, 5))
    for parameter in model.parameters():
        nn.init.normal_(parameter, generator=torch_generator)
    return model


def pictures(count: int) -> Tensor:
    return torch.rand((count, *SHAPE), generator=torch.Generator().manual_seed(1)) * 2 - 1


def test_what_entered_tells_the_picture() -> None:
    model = mixing().double()
    front = front_of(model, LOW, HIGH)
    assert (front.layer, front.passed) == ("2", 1)
    seen = pictures(3).double()
    found = front.pictures(entering(model, "2", seen))
    assert_same(found, seen)


def test_rows_of_the_layer_measure_pictures() -> None:
    model = mixing().double()
    front = front_of(model, LOW, HIGH)
    wanted, seen = torch.randn(2, 36, generator=torch.Generator().manual_seed(2)), pictures(3)
    rows, bias = front.rows(wanted.double())
    measured = entering(model, "2", seen.double()) @ rows.T + bias
    assert_same(measured, seen.double().flatten(1) @ wanted.double().T)


def test_a_picture_that_enters_unchanged_is_itself() -> None:
    front = front_of(MLP(hidden=(4,)).build(SHAPE, 2, seed=0), LOW, HIGH)
    seen = pictures(2)
    assert torch.equal(front.pictures(seen.flatten(1)), seen)
    rows, bias = front.rows(torch.ones(3, 36))
    assert torch.equal(rows, torch.ones(3, 36))
    assert not bias.any()


def test_what_does_not_reach_the_layer_is_as_in_the_middle() -> None:
    model = nn.Sequential(nn.AvgPool2d(2), nn.Flatten(), nn.Linear(9, 2))
    front = front_of(model, LOW, HIGH)
    assert front.passed == 0.25
    seen = pictures(1)
    found = front.pictures(entering(model, "2", seen))
    means = nn.functional.avg_pool2d(seen, 2)
    again = nn.functional.interpolate(means, scale_factor=2)
    assert torch.allclose(found, again.double(), atol=1e-6)


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 2)), "linear"),
        (nn.Sequential(nn.Conv2d(1, 2, 6), nn.Flatten()), "takes the unchanged input"),
        (ViT(patch=2, width=8, depth=1, heads=1).build(SHAPE, 2, seed=0), "unchanged input"),
    ],
    ids=["curved", "without a dense layer", "dense layer of patches"],
)
def test_other_fronts_are_refused(model: nn.Module, said: str) -> None:
    with pytest.raises(AttackError, match=said):
        front_of(model, LOW, HIGH)


def test_large_pictures_are_refused() -> None:
    model = nn.Sequential(nn.AvgPool2d(2), nn.Flatten(), nn.Linear(33 * 33, 2))
    large = torch.ones(1, 66, 66)
    with pytest.raises(AttackError, match=f"expected at most {MOST_NUMBERS}"):
        front_of(model, -large, large)
