"""The search for a policy of transformations."""

import pytest
import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as V  # noqa: N812

from fedsim.clients.defenses import Batch, Private, TransformSearch
from fedsim.clients.defenses.transform_search import privacy_score
from fedsim.core.transformations import library
from fedsim.models import LeNet, ResNet18

SHAPE, CLASSES = (3, 16, 16), 4


def batch_of(size: int = 2) -> Batch:
    rng = torch.Generator().manual_seed(1)
    images = torch.rand(size, *SHAPE, generator=rng)
    return Batch(images, torch.randint(CLASSES, (size,), generator=rng))


def search(candidates: int, seed: int) -> Batch:
    def nothing(count: int) -> tuple[Tensor, Tensor]:
        raise AssertionError("no other images are needed")

    private = Private(nothing, CLASSES, LeNet().build(SHAPE, CLASSES, seed=0))
    rng = torch.Generator().manual_seed(seed)
    return TransformSearch(candidates=candidates).protect_batch(batch_of(), private, rng)


@pytest.mark.parametrize("name", library())
@pytest.mark.parametrize("channels", [1, 3])
def test_transformations_keep_shape_and_range_and_do_something(name: str, channels: int) -> None:
    images = batch_of().inputs[:, :channels]
    done = library()[name](images)
    assert done.shape == images.shape
    assert done.dtype == images.dtype
    assert bool(((done.clamp(0, 1) - images).abs() > 0.01).any())
    assert float(done.clamp(0, 1).std()) > 0.05
    assert torch.equal(images, batch_of().inputs[:, :channels])


@pytest.mark.parametrize("channels", [1, 3])
def test_a_differentiable_transformation_is_that_of_torchvision(channels: int) -> None:
    images = batch_of().inputs[:, :channels]
    expected = V.adjust_sharpness(images, 2.0)
    torch.testing.assert_close(library()["sharper"](images).clamp(0, 1), expected)


def test_the_lowest_score_wins() -> None:
    scores = [search(c, seed=3).did["privacy_score"] for c in (1, 4, 12)]
    assert scores == sorted(scores, reverse=True)
    assert scores[0] > scores[-1]


def test_the_score_is_one_where_the_way_has_no_length() -> None:
    model = LeNet().build(SHAPE, CLASSES, seed=0)
    assert privacy_score(model, batch_of(), batch_of().inputs) == pytest.approx(1, abs=1e-5)
    far = privacy_score(model, batch_of(), torch.zeros(2, *SHAPE))
    assert -1 <= far < 1 - 1e-4


@pytest.mark.slow
def test_a_score_leaves_the_clients_statistics_alone() -> None:
    model = ResNet18().build(SHAPE, CLASSES, seed=0)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    private = Private(lambda _: (torch.empty(0), torch.empty(0)), CLASSES, model)
    TransformSearch(candidates=1).protect_batch(batch_of(), private, torch.Generator())
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())
