"""A reconstruction's scores in a word that agrees with what a person sees.

The thresholds below are the one place where scores become words. They were set by one observer's
eye on contact sheets of 532 pictures: photographs at 32x32 and Fashion-MNIST, with noise, blur,
shifts, blends and wrong pictures, and the outcomes of attacks on LeNet with noisy or pruned
gradients and with too few evaluations. On these pictures the words agree with the eye for 85 of
100, and differ by more than one step for 1 of 100. A rule by PSNR alone (20 dB and 3 dB above the
best baseline; partly: 1 dB above the best constant) agrees for 67: the eye sees through noise that
costs PSNR dearly.

What to keep in mind, where the words are wrong:

- Noise is under-rated and blur over-rated in pictures with little detail (a sky, a plain dress).
- A shifted, mirrored or inverted copy is under-rated: both scores compare pixel with pixel.
- A plain picture that some public one resembles more than its reconstruction does (trousers in
  Fashion-MNIST) is at most "partly", however clear it is: it could have come from public data.

Priors that are learned make smooth smudges where the upload says little, which PSNR and SSIM
over-rate: a sandal as a dark smudge had 18 dB and an SSIM of 0.59, a blind guess 10 dB. One
observer judged 120 more outcomes of attacks on noisy, rounded and pruned gradients of clothes, by
eye and before seeing any score, and 40 degraded photographs, not blind. With the first 80 the rule
for fine detail was found: the words agree with the eye for 55 of them without it and for 64 with
it; for the other 40, judged after it was found, for 28 and 31. Of 15 smudges that were called
recognisable, 11 are now "partly"; none of the 62 pictures that eye and scores both found
recognisable is lost. Where they still differ it is mostly trousers and bags that a public picture
resembles more, and noise. Photographs blurred with a sigma of 1 pixel of 32 stay recognisable; with
2, which the eye finds unclear, they are "partly".

So a verdict sums a picture up, and a report shows the picture beside it.
"""

import math
from collections.abc import Mapping

from fedsim.core.names import NEAREST
from fedsim.log.schema import Verdict

GREY = "grey"
MEAN = "mean"

GAIN_DB = 2.0
"""Least PSNR above the best blind guess. 2 dB is a third less squared error: below that, noise of
no consequence and a lucky shade of grey decide."""

SSIM_GAIN = 0.1
"""Least SSIM above the best blind guess that shows structure of this picture. Noise, blurs without
shape and wrong pictures stay below it; faint but visible outlines exceed it, often at a PSNR below
that of plain grey."""

RECOGNISABLE_SSIM = 0.4
"""SSIM from which a person knows the picture again. Results change little from 0.35 to 0.45; at
0.5, noisy pictures that are plain to see are missed."""

RECOGNISABLE_PSNR_DB = 20.0
CLEAR_GAIN_DB = 6.0
"""The second way to be recognisable: 20 dB and a quarter of the best blind guess's squared error.
SSIM punishes faint noise on flat areas, such as the black around a sandal, which hides nothing;
the gain is asked for because a blur of a low-contrast picture reaches 20 dB without showing it."""

RECOGNISABLE_DETAIL = 0.4
"""Least share of the original's fine detail. What the eye called a smudge has less than 0.38, what
it knew again has more than 0.49, noise or not."""

TRACE = 0.01
"""Share of the fine detail below which there is no structure: SSIM finds a plain black picture half
like a sandal, around which all is black."""


def verdict(
    psnr: float | None,
    ssim: float | None,
    detail: float | None,
    baselines: Mapping[str, tuple[float, float]],
) -> Verdict:
    """Return the word for one picture.

    "partly": its PSNR exceeds that of every blind guess by ``GAIN_DB``, or its SSIM by
    ``SSIM_GAIN`` with a ``TRACE`` of detail. "recognisable": besides, it has
    ``RECOGNISABLE_DETAIL``, is closer to the original than the nearest public picture, its PSNR
    exceeds every blind guess by ``GAIN_DB``, and either the SSIM gain comes with
    ``RECOGNISABLE_SSIM``, or the PSNR exceeds both ``RECOGNISABLE_PSNR_DB`` and every blind guess
    by ``CLEAR_GAIN_DB``.

    Args:
        psnr: of the reconstruction, in dB; None or NaN if it could not be scored.
        ssim: of the reconstruction; None or NaN if it could not be scored.
        detail: of the reconstruction; None or NaN if it could not be scored.
        baselines: (PSNR in dB, SSIM) of each baseline for the same picture, by name. All but
            ``"nearest"`` are blind guesses, and there must be one; without ``"nearest"``,
            nothing is asked in its place.

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
