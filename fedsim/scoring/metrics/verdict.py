"""Verdict on a reconstructed picture, from the evidence for it.

The thresholds below are the only place where evidence becomes a verdict. They were set on public
pictures. ``python -m tests.fedsim.scoring.cases.calibrate`` prints, for each, the values that agree
best with judgements by eye of 44 public pictures while the others keep theirs ("best", below), and
the agreement on 44 further ones. The present values agree for at most one picture less than the
best, too little to move them. ``docs/verdicts.md`` has the judgements.

A verdict only summarises a picture, so a report shows the picture beside it.
"""

from __future__ import annotations

import math
from dataclasses import replace

from fedsim.log.schema import Verdict
from fedsim.scoring.metrics.evidence import LEAST_CANDIDATES, Evidence

GAIN_DB = 2.0
"""Least PSNR above the best baseline. 2 dB is a third less squared error: below that, noise and
chance decide. Best: 3.75, by one picture."""

UNALIGNED_GAIN_DB = 2.0
"""Least PSNR above the best blind guess, of the pictures as they are, that is always a trace: no
search for an alignment may explain a gain away. Best: 0.75 and more."""

SSIM_GAIN = 0.1
"""Least SSIM above the best baseline that shows structure of this picture. Best: 0.02 to
0.16."""

CHANCE = 0.05
"""Largest share of the public candidates that may resemble the private picture as much. Best:
0.025 and more."""

RECOGNISABLE_SSIM = 0.4
"""Least SSIM for a person to recognise the picture. Best: 0.7 to 0.8, by one
picture."""

RECOGNISABLE_PSNR_DB = 20.0
CLEAR_GAIN_DB = 6.0
"""Alternative criterion: 20 dB and a quarter of the best baseline's squared error. SSIM penalises
faint noise on flat areas, which hides nothing. Best: any, since no judged public picture depends on
it."""

RECOGNISABLE_DETAIL = 0.35
"""Least share of the original's fine detail. A blur of 1 pixel of 28 keeps 0.38, a blur of 2
pixels 0.12 (medians of public clothes). Best: 0 to 0.65."""

REGION = 0.75
"""Least content of an exact region to recognise the picture by it, where other regions are partly:
its variance as a share of the whole picture's. Best: 1.1, by one picture; 0.7 to 1 agree alike."""

TRACE = 0.01
"""Share of the fine detail below which there is no structure: SSIM rates a plain black picture as
half similar to a sandal on black. Best: 0 to 0.1."""

ADDED = 0.04
"""Least share of what the best baseline leaves unexplained that must be explained. Noise explains
0.02 of it by chance: ``2 log(98) / 484`` for the best of 98 moves over 484 pixels. Best: 0.06 to
0.16, by one picture; the lower value errs towards a leak."""

_ORDER = (Verdict.GUESSING, Verdict.PARTLY, Verdict.RECOGNISABLE)


def verdict(evidence: Evidence | None) -> Verdict:
    """Return the verdict on one picture.

    "partly": the reconstruction is closer to the private picture than each baseline by ``GAIN_DB``
    or ``SSIM_GAIN``, and at most ``CHANCE`` of the public candidates are as similar; or it
    identifies the private picture among them and adds to the baselines; or a region is exact; or it
    is closer by ``UNALIGNED_GAIN_DB`` as it is. "recognisable": in addition it has structure and
    detail; or a region is exact whose content is at least ``REGION``. A warped view that identifies
    the private picture counts in place of the reconstruction. A plain picture has nothing to leak.
    In a batch, identification alone does not count if public pictures have as many first ranks.

    Args:
        evidence: of the reconstruction; None if it could not be scored.
    """
    if evidence is None or any(map(math.isnan, (evidence.psnr, evidence.ssim, evidence.detail))):
        return Verdict.UNSCORED
    if evidence.plain:
        return Verdict.NOTHING
    if evidence.warped is not None:
        both = verdict(evidence.warped), verdict(replace(evidence, warped=None))
        return max(both, key=_ORDER.index)
    if evidence.region >= REGION or _recognisable(evidence):
        return Verdict.RECOGNISABLE
    gains = evidence.psnr - evidence.blind_psnr >= GAIN_DB or _gains_structure(evidence)
    told = identified(evidence) and evidence.by_choice <= CHANCE
    some = gains and evidence.as_similar <= CHANCE
    if told or some or evidence.region or evidence.gain >= UNALIGNED_GAIN_DB:
        return Verdict.PARTLY
    return Verdict.GUESSING


def rests_on_rank(evidence: Evidence) -> bool:
    """Return whether the verdict is what it is by the rank among public pictures alone."""
    return verdict(evidence) is not verdict(replace(evidence, by_choice=1.0))


def identified(evidence: Evidence) -> bool:
    """Return whether the reconstruction tells the private picture from public ones."""
    first = evidence.rank == 1 and evidence.candidates > LEAST_CANDIDATES
    return first and evidence.added >= ADDED


def _gains_structure(evidence: Evidence) -> bool:
    return evidence.ssim >= evidence.blind_ssim + SSIM_GAIN and evidence.detail >= TRACE


def _recognisable(evidence: Evidence) -> bool:
    gain_db = evidence.psnr - evidence.blind_psnr
    structured = evidence.ssim >= RECOGNISABLE_SSIM and _gains_structure(evidence)
    clear = evidence.psnr >= RECOGNISABLE_PSNR_DB and gain_db >= CLEAR_GAIN_DB
    # The nearest public picture is chosen with the truth: it makes a clear picture "partly" that
    # does not tell the private picture from public ones either.
    own = evidence.public_psnr is None or evidence.psnr > evidence.public_psnr
    return (
        (structured or clear)
        and gain_db >= GAIN_DB
        and evidence.detail >= RECOGNISABLE_DETAIL
        and (own or identified(evidence))
    )
