"""Pictures are searched whose features are known."""

import pytest
import torch
from torch import nn

from fedsim.attacks.closed.front import entering
from fedsim.attacks.closed.latents import latents_of
from fedsim.core.errors import AttackError

SHAPE = (1, 5, 5)
LOW, HIGH = torch.zeros(SHAPE), torch.ones(SHAPE)
pytestmark = pytest.mark.numeric


def encoder(*layers: nn.Module) -> nn.Module:
    generator = torch.Generator().manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.Softplus(), *layers, nn.Flatten(), nn.Linear(100, 3)
    )
    for parameter in model.parameters():
        nn.init.normal_(parameter, generator=generator)
    return model.double()


@pytest.mark.parametrize("count", [0, 40])
def test_features_tell_the_picture(count: int) -> None:
    model, draws = encoder(), torch.Generator().manual_seed(1)
    seen = torch.rand((3, *SHAPE), generator=draws, dtype=torch.float64)
    known = torch.rand((count, *SHAPE), generator=draws) if count else None
    front = latents_of(model, LOW, HIGH, known)
    found = front.pictures(entering(model, front.layer, seen))
    assert float((found - seen).abs().max()) < 1e-3


@pytest.mark.parametrize(
    "layer", [nn.BatchNorm2d(4, dtype=torch.float64), nn.Dropout()], ids=["norm", "dropout"]
)
def test_features_that_depend_on_the_batch_are_refused(layer: nn.Module) -> None:
    with pytest.raises(AttackError, match="depends on the batch"):
        latents_of(encoder(layer), LOW, HIGH, None)


def test_a_model_without_a_dense_layer_is_refused() -> None:
    with pytest.raises(AttackError, match="no dense layer"):
        latents_of(nn.Sequential(nn.Conv2d(1, 2, 5), nn.Flatten()), LOW, HIGH, None)
