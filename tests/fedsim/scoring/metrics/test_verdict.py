"""The words agree with what is to be seen in degraded photographs."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter
from skimage.data import astronaut
from skimage.transform import resize

from fedsim.log.schema import Verdict
from fedsim.scoring.metrics.baselines import blind_baselines, of_picture
from fedsim.scoring.metrics.images import score
from fedsim.scoring.metrics.verdict import verdict

BLIND = {"grey": (11.0, 0.2), "mean": (12.0, 0.15)}
ORDER = [Verdict.GUESSING, Verdict.PARTLY, Verdict.RECOGNISABLE]


@pytest.fixture(scope="module")
def face() -> np.ndarray:
    photo = resize(astronaut()[0:256, 100:356], (32, 32), anti_aliasing=True)
    return photo.transpose(2, 0, 1)


def word_for(picture: np.ndarray, original: np.ndarray) -> Verdict:
    guess, truth = torch.from_numpy(picture.copy())[None], torch.from_numpy(original.copy())[None]
    scores = score(guess, truth)
    blind = of_picture(blind_baselines(truth), 0)
    return verdict(scores.psnr.item(), scores.ssim.item(), scores.detail.item(), blind)


@pytest.mark.parametrize(
    ("noise_std", "expected"),
    [
        (0.0, Verdict.RECOGNISABLE),
        (0.1, Verdict.RECOGNISABLE),
        (0.25, Verdict.PARTLY),
        (1.0, Verdict.GUESSING),
    ],
)
def test_noise(face: np.ndarray, noise_std: float, expected: Verdict) -> None:
    noise = np.random.default_rng(0).standard_normal(face.shape)
    assert word_for(face + noise_std * noise, face) is expected


def test_blur(face: np.ndarray) -> None:
    assert word_for(gaussian_filter(face, (0, 1, 1)), face) is Verdict.RECOGNISABLE
    assert word_for(gaussian_filter(face, (0, 2, 2)), face) is Verdict.PARTLY
    assert word_for(gaussian_filter(face, (0, 4, 4)), face) is Verdict.PARTLY
    assert word_for(np.full_like(face, face.mean()), face) is Verdict.GUESSING


def test_wrong_pictures(face: np.ndarray) -> None:
    assert word_for(face[:, ::-1], face) is Verdict.GUESSING
    assert word_for(np.random.default_rng(0).random(face.shape), face) is Verdict.GUESSING


@pytest.mark.parametrize(
    ("psnr", "ssim", "expected"),
    [
        (14.0, 0.4, Verdict.RECOGNISABLE),
        (13.9, 0.9, Verdict.PARTLY),
        (19.9, 0.25, Verdict.PARTLY),
        (20.0, 0.25, Verdict.RECOGNISABLE),
        (8.0, 0.31, Verdict.PARTLY),
        (13.9, 0.29, Verdict.GUESSING),
        (14.0, 0.0, Verdict.PARTLY),
    ],
)
def test_thresholds(psnr: float, ssim: float, expected: Verdict) -> None:
    assert verdict(psnr, ssim, 1.0, BLIND) is expected


@pytest.mark.parametrize(
    ("psnr", "ssim", "detail", "expected"),
    [
        (30.0, 0.9, 0.4, Verdict.RECOGNISABLE),
        (30.0, 0.9, 0.39, Verdict.PARTLY),
        (30.0, 0.9, 2.0, Verdict.RECOGNISABLE),
        (11.0, 0.5, 0.01, Verdict.PARTLY),
        (11.0, 0.5, 0.009, Verdict.GUESSING),
        (14.0, 0.5, 0.0, Verdict.PARTLY),
    ],
)
def test_thresholds_of_detail(psnr: float, ssim: float, detail: float, expected: Verdict) -> None:
    assert verdict(psnr, ssim, detail, BLIND) is expected


def sandal() -> np.ndarray:
    """Return a thin pattern on black, as a sandal is."""
    picture = np.zeros((1, 28, 28))
    picture[0, 14, 2:26] = 0.8
    picture[0, 10:15, 6:22:3] = 0.6
    return picture


def test_a_smudge_in_the_right_place_is_not_the_picture() -> None:
    original = sandal()
    smudge = np.clip(gaussian_filter(original, (0, 3, 3)), 0, 1)
    truth = torch.from_numpy(original)[None]
    scores = score(torch.from_numpy(smudge)[None], truth)
    blind = of_picture(blind_baselines(truth), 0)
    old = verdict(scores.psnr.item(), scores.ssim.item(), 1.0, blind)
    assert (old, word_for(smudge, original)) == (Verdict.RECOGNISABLE, Verdict.PARTLY)
    noisy = original + 0.1 * np.random.default_rng(0).standard_normal(original.shape)
    assert word_for(np.clip(noisy, 0, 1), original) is Verdict.RECOGNISABLE


def test_black_on_black_is_no_structure() -> None:
    known = BLIND | {"mean": (14.0, 0.2)}
    truth = torch.from_numpy(sandal())[None]
    scores = score(torch.zeros_like(truth), truth)
    assert scores.detail.item() == 0
    assert scores.ssim.item() > 0.4
    assert verdict(13.0, scores.ssim.item(), 0.0, known) is Verdict.GUESSING


def test_a_public_picture_that_is_closer_leaves_partly() -> None:
    assert verdict(22.0, 0.8, 1.0, BLIND | {"nearest": (23.0, 0.7)}) is Verdict.PARTLY
    assert verdict(23.1, 0.8, 1.0, BLIND | {"nearest": (23.0, 0.9)}) is Verdict.RECOGNISABLE


def test_a_baseline_never_beats_itself() -> None:
    for scores in BLIND.values():
        assert verdict(*scores, 1.0, BLIND) is Verdict.GUESSING
    known = BLIND | {"nearest": (30.0, 0.9)}
    assert verdict(30.0, 0.9, 1.0, known) is Verdict.PARTLY


@given(
    st.tuples(st.floats(0, 100), st.floats(-1, 1), st.floats(-1, 1)),
    st.tuples(st.floats(0, 30), st.floats(0, 1), st.floats(0, 1)),
    st.floats(0, 40),
)
def test_better_scores_never_read_worse(
    scores: tuple[float, float, float], more: tuple[float, float, float], public_db: float
) -> None:
    known = BLIND | {"nearest": (public_db, 0.5)}
    better_scores = (a + b for a, b in zip(scores, more, strict=True))
    worse, better = verdict(*scores, known), verdict(*better_scores, known)
    assert ORDER.index(better) >= ORDER.index(worse)


@pytest.mark.parametrize("missing", [None, float("nan")])
def test_unscored(missing: float | None) -> None:
    assert verdict(missing, 0.5, 1.0, BLIND) is Verdict.UNSCORED
    assert verdict(20.0, missing, 1.0, BLIND) is Verdict.UNSCORED
    assert verdict(20.0, 0.5, missing, BLIND) is Verdict.UNSCORED


def test_needs_a_blind_guess() -> None:
    with pytest.raises(ValueError, match="grey"):
        verdict(30.0, 0.9, 1.0, {"nearest": (20.0, 0.5)})
