"""Cards of private pictures with their reconstructions as they emerged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from fedsim.log.run import Arrays, Run
from fedsim.log.schema import LeakageRecord, ReconstructionRecord
from fedsim.modalities.pictures.beside import PRIVATE, beside
from fedsim.modalities.pictures.measure import PSNR
from fedsim.show.report.images import data_uri, evenly, largest_side, most_frames, strip
from fedsim.show.report.victims.cards import Attacked, Attempt, Card, attacked, card, finite

KEPT = 2
"""Victims whose arrays are kept: the attackers of one upload."""


def picture_cards(run: Run) -> list[Card]:
    """Return a card for each attacked picture.

    Raises:
        RunError: a record names a path outside the run folder, or a file without tensors.
    """
    victims = list(attacked(run))
    defenses = {row.group: row.defense for row in run.summary.rows}
    limits, stored = _Limits.of(run, victims), _Stored(run)
    return [_card(stored, victim, defenses, limits) for victim in victims]


class _Stored:
    """The arrays of a run's victims; those of the last ones are kept, which have many pictures.

    Args:
        run: the run.
    """

    def __init__(self, run: Run) -> None:
        self.arrays = lru_cache(maxsize=KEPT)(run.arrays)


@dataclass(frozen=True)
class PictureAttempt(Attempt):
    """Reconstruction of one private picture by one attacker.

    Attributes:
        final: the reconstruction as a data URI, or None.
        strip: frames of its emergence side by side, as the base64 text of a PNG; empty if the log
            does not have them.
    """

    final: str | None = None
    strip: str = ""


@dataclass(frozen=True)
class _Limits:
    """Size limits of drawn pictures, so that the page can still be mailed."""

    side: int
    frames: int

    @classmethod
    def of(cls, run: Run, victims: Sequence[Attacked]) -> _Limits:
        shape = _shape(run, victims)
        attempts = sum(len(v.pairs) for v in victims)
        side = largest_side(len(victims) + attempts, shape)
        return cls(side, most_frames(attempts, shape, side))


def _shape(run: Run, victims: Sequence[Attacked]) -> Sequence[int]:
    """Return the shape of the first picture, which is the same for all pictures of a run."""
    for victim in victims:
        arrays = run.arrays(victim.pairs[0][1].tensors)
        if arrays is not None:
            shown = beside(arrays, 0)
            return (1, 1, 1) if shown is None else shown[0].shape
    return (1, 1, 1)


def _card(stored: _Stored, victim: Attacked, defenses: dict[str, str], limits: _Limits) -> Card:
    original, caption = None, PRIVATE
    attempts = []
    for leakage, reconstruction in victim.pairs:
        arrays = stored.arrays(reconstruction.tensors)
        if arrays is None:
            attempts.append(PictureAttempt(leakage, reconstruction, PSNR))
            continue
        shown = beside(arrays, leakage.score.example)
        if original is None and shown is not None:
            original, caption = data_uri(shown[0], limits.side), shown[1]
        attempts.append(_attempt(leakage, reconstruction, arrays, limits))
    return card(victim, defenses, original, attempts, caption)


def _attempt(
    leakage: LeakageRecord, found: ReconstructionRecord, arrays: Arrays, limits: _Limits
) -> PictureAttempt:
    """Return the reconstruction that is matched to one picture of a batch."""
    if "matching" not in arrays or "reconstruction" not in arrays:
        return PictureAttempt(leakage, found, PSNR)
    position = arrays["matching"][leakage.score.example]
    final = data_uri(arrays["reconstruction"][position], limits.side)
    if "history" not in arrays:
        return PictureAttempt(leakage, found, PSNR, final=final)
    shown = evenly(len(arrays["history"]), limits.frames)
    return PictureAttempt(
        leakage,
        found,
        PSNR,
        [int(arrays["evaluations"][i]) for i in shown],
        [finite(float(arrays["objectives"][i])) for i in shown],
        final,
        strip([arrays["history"][i][position] for i in shown], limits.side),
    )
