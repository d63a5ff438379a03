"""Verdicts follow from the evidence."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedsim.log.schema import Verdict
from fedsim.scoring.metrics.evidence import Evidence
from fedsim.scoring.metrics.verdict import verdict

NOTHING = Evidence(
    psnr=12.0,
    ssim=0.2,
    detail=0.0,
    blind_psnr=12.0,
    blind_ssim=0.2,
    public_psnr=14.0,
    rank=9,
    candidates=51,
    as_similar=0.5,
)
CLEAR = replace(NOTHING, psnr=21.0, ssim=0.7, detail=0.8, added=0.8, rank=1, as_similar=0.0)
ORDER = [Verdict.GUESSING, Verdict.PARTLY, Verdict.RECOGNISABLE]


def test_words() -> None:
    assert verdict(NOTHING) is Verdict.GUESSING
    assert verdict(CLEAR) is Verdict.RECOGNISABLE
    assert verdict(None) is Verdict.UNSCORED
    assert verdict(replace(CLEAR, psnr=float("nan"))) is Verdict.UNSCORED


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"detail": 0.35}, Verdict.RECOGNISABLE),
        ({"detail": 0.34}, Verdict.PARTLY),
        ({"ssim": 0.39}, Verdict.RECOGNISABLE),  # 20 dB and 9 above
        ({"ssim": 0.39, "psnr": 19.9}, Verdict.PARTLY),
        ({"ssim": 0.4, "psnr": 14.0}, Verdict.RECOGNISABLE),
        ({"ssim": 0.4, "psnr": 13.9}, Verdict.PARTLY),
        ({"plain": True}, Verdict.NOTHING),
        ({"by_choice": 1.0}, Verdict.RECOGNISABLE),
    ],
)
def test_thresholds_of_a_recognisable_picture(changes: dict[str, float], expected: Verdict) -> None:
    assert verdict(replace(CLEAR, **changes)) is expected


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"psnr": 14.0, "as_similar": 0.05}, Verdict.PARTLY),
        ({"psnr": 13.9, "as_similar": 0.05}, Verdict.GUESSING),
        ({"psnr": 14.0, "as_similar": 0.06}, Verdict.GUESSING),
        ({"ssim": 0.31, "detail": 0.01, "as_similar": 0.0}, Verdict.PARTLY),
        ({"ssim": 0.31, "detail": 0.0, "as_similar": 0.0}, Verdict.GUESSING),
        ({"rank": 1, "added": 0.04}, Verdict.PARTLY),
        ({"rank": 1, "added": 0.03}, Verdict.GUESSING),
        ({"rank": 1, "added": 0.04, "by_choice": 0.05}, Verdict.PARTLY),
        ({"rank": 1, "added": 0.04, "by_choice": 0.06}, Verdict.GUESSING),
        ({"rank": 1, "added": 0.04, "candidates": 20}, Verdict.GUESSING),
        ({"rank": 2, "added": 0.5}, Verdict.GUESSING),
        ({"region": 0.75}, Verdict.RECOGNISABLE),
        ({"region": 0.74}, Verdict.PARTLY),
        ({"region": 1.0, "plain": True}, Verdict.NOTHING),
        ({"gain": 2.0}, Verdict.PARTLY),
        ({"gain": 1.9}, Verdict.GUESSING),
    ],
)
def test_thresholds_of_a_part(changes: dict[str, float], expected: Verdict) -> None:
    assert verdict(replace(NOTHING, **changes)) is expected


def test_the_nearest_public_picture_qualifies_a_leak_and_never_undoes_it() -> None:
    near = replace(CLEAR, public_psnr=25.0)
    assert verdict(near) is Verdict.RECOGNISABLE  # it is told from the public pictures
    assert verdict(replace(near, rank=2)) is Verdict.PARTLY
    assert verdict(replace(near, rank=2, public_psnr=100.0)) is Verdict.PARTLY


@given(
    st.tuples(st.floats(0, 100), st.floats(-1, 1), st.floats(-1, 1)),
    st.tuples(st.floats(0, 30), st.floats(0, 1), st.floats(0, 1)),
    st.floats(0, 40),
)
def test_better_scores_never_read_worse(
    scores: tuple[float, float, float], more: tuple[float, float, float], public_db: float
) -> None:
    psnr, ssim, detail = scores
    known = replace(NOTHING, psnr=psnr, ssim=ssim, detail=detail, public_psnr=public_db)
    better = replace(known, psnr=psnr + more[0], ssim=ssim + more[1], detail=detail + more[2])
    for share in (0.0, 0.5):
        pair = [verdict(replace(e, as_similar=share)) for e in (known, better)]
        assert sorted(pair, key=ORDER.index) == pair
