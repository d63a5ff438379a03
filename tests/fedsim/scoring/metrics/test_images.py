"""Scores agree with scikit-image and keep to one picture each."""

from dataclasses import fields

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from fedsim.scoring.metrics import images
from fedsim.scoring.metrics.evidence import gather
from fedsim.scoring.metrics.images import PSNR_CAP_DB, detail, mse, psnr, scorable, score, ssim
from tests.rounding import assert_same

pytestmark = pytest.mark.numeric


def pair(n: int, c: int, h: int, w: int, noise: float = 0.1) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(n * 1000 + c * 100 + h + w)
    originals = torch.rand(n, c, h, w, generator=generator)
    return originals + noise * torch.randn(n, c, h, w, generator=generator), originals


def skimage_ssim(guess: np.ndarray, truth: np.ndarray) -> float:
    """SSIM by scikit-image; the mirrored border makes its cropped mean that of all pixels."""
    border = [(0, 0), (5, 5), (5, 5)]
    return structural_similarity(
        np.pad(truth, border, mode="reflect"),
        np.pad(guess, border, mode="reflect"),
        data_range=1.0,
        channel_axis=0,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
    )


@pytest.mark.parametrize("shape", [(3, 1, 28, 28), (2, 3, 32, 32), (2, 3, 11, 40)])
@pytest.mark.parametrize("noise", [0.01, 0.3])
def test_agrees_with_scikit_image(shape: tuple[int, int, int, int], noise: float) -> None:
    guesses, originals = pair(*shape, noise=noise)
    scores = score(guesses, originals)
    for i in range(shape[0]):
        guess = guesses[i].clamp(0, 1).double().numpy()
        truth = originals[i].double().numpy()
        assert scores.psnr[i] == pytest.approx(peak_signal_noise_ratio(truth, guess, data_range=1))
        assert scores.ssim[i] == pytest.approx(skimage_ssim(guess, truth), abs=1e-9)
        assert scores.mse[i] == pytest.approx(np.mean((truth - guess) ** 2))


def test_in_chunks_or_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    guesses, originals = pair(5, 3, 16, 16)
    guess = {"grey": torch.full_like(originals, 0.5)}
    candidates = [torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(0))] * 5
    whole = score(guesses, originals), gather(guesses, originals, guess, candidates)
    monkeypatch.setattr(images, "CHUNK", 2)
    parts = score(guesses, originals), gather(guesses, originals, guess, candidates)
    for field in fields(whole[0]):
        assert_same(getattr(parts[0], field.name), getattr(whole[0], field.name))
    for found, expected in zip(parts[1], whole[1], strict=True):
        assert found.psnr == pytest.approx(expected.psnr)
        assert found.rank == expected.rank


def test_closed_form() -> None:
    originals = torch.full((1, 1, 12, 12), 0.5)
    assert mse(originals + 0.1, originals).item() == pytest.approx(0.01)
    assert psnr(originals + 0.1, originals).item() == pytest.approx(20.0, abs=1e-4)
    # Flat pictures of brightness a and b: (2ab + c1) / (a^2 + b^2 + c1).
    expected = (2 * 0.6 * 0.5 + 1e-4) / (0.6**2 + 0.5**2 + 1e-4)
    assert ssim(originals + 0.1, originals).item() == pytest.approx(expected, abs=1e-6)


def test_identical_pictures_reach_the_cap() -> None:
    _, originals = pair(2, 3, 8, 8)
    assert psnr(originals, originals).tolist() == [PSNR_CAP_DB] * 2
    assert ssim(originals, originals) == pytest.approx(1.0)


@pytest.mark.parametrize("shape", [(2, 1, 28, 28), (2, 3, 64, 48), (2, 3, 5, 5)])
def test_detail_is_the_share_of_what_is_fine(shape: tuple[int, int, int, int]) -> None:
    _, originals = pair(*shape)
    originals = 0.3 + 0.4 * originals  # so that nothing below is clamped
    assert detail(originals, originals) == pytest.approx(1.0)
    assert detail(0.5 * originals + 0.2, originals) == pytest.approx(0.5, abs=1e-6)
    assert detail(1 - originals, originals) == pytest.approx(-1.0, abs=1e-6)
    assert detail(torch.full_like(originals, 0.4), originals) == pytest.approx(0.0, abs=1e-6)
    assert detail(originals, torch.full_like(originals, 0.4)).tolist() == [1.0, 1.0]


def test_detail_falls_with_blur_and_hardly_with_noise() -> None:
    _, originals = pair(1, 1, 28, 28)
    originals = 0.3 + 0.4 * originals
    blurred = [gaussian_filter(originals.numpy(), (0, 0, s, s)) for s in (0.5, 1.0, 2.0, 4.0)]
    shares = [detail(torch.from_numpy(b), originals).item() for b in blurred]
    assert shares == sorted(shares, reverse=True)
    assert shares[-1] < 0.05
    noisy, _ = pair(1, 1, 28, 28)
    assert detail(originals + 0.1 * (noisy - originals), originals).item() > 0.85


def test_never_pooled_over_the_batch() -> None:
    guesses, originals = pair(3, 3, 16, 16)
    guesses[1] = originals[1]
    together = score(guesses, originals)
    for name in ("mse", "psnr", "ssim"):
        alone = [getattr(score(guesses[[i]], originals[[i]]), name).item() for i in range(3)]
        assert getattr(together, name).tolist() == pytest.approx(alone)


def test_clamped_before_scoring() -> None:
    originals = torch.ones(1, 1, 8, 8)
    assert psnr(originals * 40, originals).item() == PSNR_CAP_DB


@pytest.mark.parametrize("side", range(1, 13))
def test_ssim_of_small_pictures(side: int) -> None:
    guesses, originals = pair(2, 1, side, side + 1)
    assert ssim(originals, originals) == pytest.approx(1.0)
    assert bool((ssim(guesses, originals) < 1).all())


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_not_finite_is_no_score(value: float) -> None:
    guesses, originals = pair(3, 1, 8, 8)
    guesses[1, 0, 2, 2] = value
    assert scorable(guesses).tolist() == [True, False, True]
    with pytest.raises(ValueError, match="scorable"):
        score(guesses, originals)


def test_wrong_arguments() -> None:
    guesses, originals = pair(2, 3, 8, 8)
    with pytest.raises(ValueError, match="expected the same"):
        mse(guesses[:1], originals)
    with pytest.raises(ValueError, match="expected the same"):
        mse(guesses[0], originals[0])
    with pytest.raises(ValueError, match="normalisation"):
        mse(guesses, originals * 2 - 1)


def test_gradients_and_half_precision_are_accepted() -> None:
    guesses, originals = pair(1, 1, 12, 12)
    scores = score(guesses.half().requires_grad_(), originals.half())
    assert scores.psnr.dtype == torch.float64
    assert not scores.psnr.requires_grad
