"""Blind guesses score what a direct computation says."""

import pytest
import torch

from fedsim.scoring.metrics import baselines
from fedsim.scoring.metrics.baselines import (
    blind_baselines,
    nearest_public,
    of_picture,
    random_label_accuracy,
)
from fedsim.scoring.metrics.images import mse, psnr

pytestmark = pytest.mark.numeric


def pictures(seed: int, n: int) -> torch.Tensor:
    return torch.rand(n, 3, 6, 5, generator=torch.Generator().manual_seed(seed))


def test_grey_and_mean() -> None:
    private, public = pictures(0, 3), pictures(1, 9)
    found = blind_baselines(private, public)
    assert list(found) == ["grey", "tone", "mean", "nearest"]
    assert torch.equal(found["grey"].mse, mse(torch.full_like(private, 0.5), private))
    mean = public.mean(0, keepdim=True).expand_as(private)
    assert found["mean"].psnr == pytest.approx(psnr(mean, private))


def test_nearest_by_brute_force(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(baselines, "_CHUNK_VALUES", 6 * 5 * 3 * 4)
    private, public = pictures(0, 5), pictures(1, 23)
    errors = (private[:, None] - public[None]).square().flatten(2).mean(2)
    assert nearest_public(private, public).tolist() == errors.argmin(1).tolist()
    found = blind_baselines(private, public)["nearest"]
    assert found.mse == pytest.approx(errors.min(1).values.double(), rel=1e-5)


def test_first_of_equally_near() -> None:
    private = pictures(0, 1)
    assert nearest_public(private, private.expand(3, -1, -1, -1)).tolist() == [0]


@pytest.mark.parametrize("public", [None, torch.empty(0, 3, 6, 5)])
def test_only_constants_without_public_pictures(public: torch.Tensor | None) -> None:
    assert list(blind_baselines(pictures(0, 2), public)) == ["grey", "tone"]


def test_public_pictures_of_another_shape() -> None:
    with pytest.raises(ValueError, match="load both the same way"):
        blind_baselines(pictures(0, 2), torch.rand(4, 1, 6, 5))


def test_of_one_picture() -> None:
    found = blind_baselines(pictures(0, 2))
    grey = found["grey"]
    assert of_picture(found, 1)["grey"] == (grey.psnr[1].item(), grey.ssim[1].item())


def test_random_label() -> None:
    assert random_label_accuracy(10) == pytest.approx(0.1)
    with pytest.raises(ValueError, match="at least one class"):
        random_label_accuracy(0)
