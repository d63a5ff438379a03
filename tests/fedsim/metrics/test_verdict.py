"""The words agree with what is to be seen in degraded photographs."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter
from skimage.data import astronaut
from skimage.transform import resize

from fedsim.metrics.baselines import blind_baselines, of_picture
from fedsim.metrics.images import score
from fedsim.metrics.verdict import Verdict, verdict

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
    return verdict(scores.psnr.item(), scores.ssim.item(), blind)


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
    assert verdict(psnr, ssim, BLIND) is expected


def test_a_public_picture_that_is_closer_leaves_partly() -> None:
    assert verdict(22.0, 0.8, BLIND | {"nearest": (23.0, 0.7)}) is Verdict.PARTLY
    assert verdict(23.1, 0.8, BLIND | {"nearest": (23.0, 0.9)}) is Verdict.RECOGNISABLE


def test_a_baseline_never_beats_itself() -> None:
    for scores in BLIND.values():
        assert verdict(*scores, BLIND) is Verdict.GUESSING
    known = BLIND | {"nearest": (30.0, 0.9)}
    assert verdict(30.0, 0.9, known) is Verdict.PARTLY


@given(st.floats(0, 100), st.floats(-1, 1), st.floats(0, 30), st.floats(0, 1), st.floats(0, 40))
def test_better_scores_never_read_worse(
    psnr: float, ssim: float, more_db: float, more_ssim: float, public_db: float
) -> None:
    known = BLIND | {"nearest": (public_db, 0.5)}
    worse, better = verdict(psnr, ssim, known), verdict(psnr + more_db, ssim + more_ssim, known)
    assert ORDER.index(better) >= ORDER.index(worse)


@pytest.mark.parametrize("missing", [None, float("nan")])
def test_unscored(missing: float | None) -> None:
    assert verdict(missing, 0.5, BLIND) is Verdict.UNSCORED
    assert verdict(20.0, missing, BLIND) is Verdict.UNSCORED


def test_needs_a_blind_guess() -> None:
    with pytest.raises(ValueError, match="grey"):
        verdict(30.0, 0.9, {"nearest": (20.0, 0.5)})


def test_readable_without_torch() -> None:
    code = "import sys, fedsim.metrics.verdict; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
