"""Verdict on a reconstructed picture, calibrated on the judgement of a human observer.

The thresholds below are the only place where scores become verdicts. One observer set them by eye
on contact sheets of 532 pictures: photographs at 32x32 and Fashion-MNIST, with noise, blur,
shifts, blends and wrong pictures, and the outcomes of attacks on LeNet with noisy or pruned
gradients and with too few evaluations. On these pictures the verdicts agree with the eye for 85 of
100, and differ by more than one step for 1 of 100. A rule by PSNR alone (20 dB and 3 dB above the
best baseline; partly: 1 dB above the best constant) agrees for 67: the eye sees through noise that
costs much PSNR.

Known errors of the verdict:

- Noise is under-rated and blur over-rated in pictures with little detail (a sky, a plain dress).
- A shifted, mirrored or inverted copy is under-rated: both scores compare pixel with pixel.
- A plain picture that resembles some public picture more than its reconstruction (trousers in
  Fashion-MNIST) is at most "partly", however clear it is: it could have come from public data.

Learned priors make smooth smudges where the upload holds little information, which PSNR and SSIM
over-rate: a sandal as a dark smudge had 18 dB and an SSIM of 0.59, a blind guess 10 dB. One
observer judged 120 more outcomes of attacks on noisy, rounded and pruned gradients of clothes, by
eye and before seeing any score, and 40 degraded photographs, not blind. The rule for fine detail
was found on the first 80: the verdicts agree with the eye for 55 of them without the rule and for
64 with it; for the other 40, judged after it was found, for 28 and 31. Of 15 smudges that were
called recognisable, 11 are now "partly"; all of the 62 pictures that both the eye and the scores
found recognisable remain so. The remaining differences are mostly trousers and bags that resemble a
public picture more, and noise. Photographs blurred with a sigma of 1 pixel of 32 stay recognisable;
with 2, which the eye finds unclear, they are "partly".

A verdict only summarises a picture, so a report shows the picture beside it.
"""

import math
from collections.abc import Mapping

from fedsim.core.names import NEAREST
from fedsim.log.schema import Verdict

GREY = "grey"
MEAN = "mean"

GAIN_DB = 2.0
"""Minimum PSNR above the best blind guess. 2 dB is a third less squared error: below that,
irrelevant noise and a lucky shade of grey decide."""

SSIM_GAIN = 0.1
"""Minimum SSIM above the best blind guess that shows structure of this picture. Noise, shapeless
blurs and wrong pictures stay below it; faint but visible outlines exceed it, often at a PSNR below
that of plain grey."""

RECOGNISABLE_SSIM = 0.4
"""Minimum SSIM for a person to recognise the picture. Results change little from 0.35 to 0.45; at
0.5, noisy pictures that are clearly visible are missed."""

RECOGNISABLE_PSNR_DB = 20.0
CLEAR_GAIN_DB = 6.0
"""Alternative criterion: 20 dB and a quarter of the best blind guess's squared error. SSIM
penalises faint noise on flat areas, such as the black around a sandal, which hides nothing; the
gain is needed because a blur of a low-contrast picture reaches 20 dB without showing it."""

RECOGNISABLE_DETAIL = 0.4
"""Minimum share of the original's fine detail. Pictures that the eye called a smudge have less than
0.38, recognised ones more than 0.49, with or without noise."""

TRACE = 0.01
"""Share of the fine detail below which there is no structure: SSIM rates a plain black picture as
half similar to a sandal on a black background."""


def verdict(
    psnr: float | None,
    ssim: float | None,
    detail: float | None,
    baselines: Mapping[str, tuple[float, float]],
) -> Verdict:
    """Return the verdict on one picture.

    "partly": its PSNR exceeds that of every blind guess by ``GAIN_DB``, or its SSIM by
    ``SSIM_GAIN`` with a ``TRACE`` of detail. "recognisable": in addition, it has
    ``RECOGNISABLE_DETAIL``, is closer to the original than the nearest public picture, its PSNR
    exceeds every blind guess by ``GAIN_DB``, and either the SSIM gain comes with
    ``RECOGNISABLE_SSIM``, or the PSNR exceeds both ``RECOGNISABLE_PSNR_DB`` and every blind guess
    by ``CLEAR_GAIN_DB``.

    Args:
        psnr: of the reconstruction, in dB; None or NaN if it could not be scored.
        ssim: of the reconstruction; None or NaN if it could not be scored.
        detail: of the reconstruction; None or NaN if it could not be scored.
        baselines: (PSNR in dB, SSIM) of each baseline for the same picture, by name. All except
            ``"nearest"`` are blind guesses, and there must be at least one; ``"nearest"`` may be
            missing.

    Raises:
        ValueError: there is no blind guess to compare with.
    """
    blind = [scores for name, scores in baselines.items() if name != NEAREST]
    if not blind:
        raise ValueError(f"no blind baseline to compare with: expected at least {GREY!r}")
    if psnr is None or ssim is None or detail is None or any(map(math.isnan, (psnr, ssim, detail))):
        return Verdict.UNSCORED
    gain_db = psnr - max(blind_psnr for blind_psnr, _ in blind)
    gains_ssim = ssim >= max(blind_ssim for _, blind_ssim in blind) + SSIM_GAIN
    has_structure = gains_ssim and detail >= TRACE
    beats_public = NEAREST not in baselines or psnr > baselines[NEAREST][0]
    is_clear = (has_structure and ssim >= RECOGNISABLE_SSIM) or (
        psnr >= RECOGNISABLE_PSNR_DB and gain_db >= CLEAR_GAIN_DB
    )
    if is_clear and detail >= RECOGNISABLE_DETAIL and beats_public and gain_db >= GAIN_DB:
        return Verdict.RECOGNISABLE
    return Verdict.PARTLY if has_structure or gain_db >= GAIN_DB else Verdict.GUESSING
