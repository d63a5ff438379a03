"""Judge of pictures."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import torch
from torch import Tensor, nn

from fedsim.attacks import Reconstruction
from fedsim.core.modality import PICTURES
from fedsim.core.targets import labels_right
from fedsim.core.tasks import Task
from fedsim.data import Prepared
from fedsim.log.schema import Doubt, ExampleScore, Verdict
from fedsim.scoring.further import Figures, FurtherMetrics
from fedsim.scoring.judge import ConclusionOf, Judge
from fedsim.scoring.metrics.baselines import GREY, MEAN, blind_guesses, of_picture
from fedsim.scoring.metrics.chance import chance_db
from fedsim.scoring.metrics.evidence import Evidence, candidates, gather
from fedsim.scoring.metrics.images import ImageScores, comparable, scorable, score
from fedsim.scoring.metrics.matching import match
from fedsim.scoring.metrics.perceptual import MOST, PerceptualDistance, is_large_enough, rank
from fedsim.scoring.metrics.selection import with_choice, without_ranks
from fedsim.scoring.metrics.verdict import CHANCE, verdict


class PictureJudge(Judge):
    """Compares pictures as they are and as an eye aligns them.

    Args:
        dataset: the data set, whose test pictures are public.
        model: not used.
    """

    def __init__(self, dataset: Prepared, model: nn.Module) -> None:
        self._public, labels = dataset.test.batch(np.arange(len(dataset.test)))
        whole = labels.ndim == 1 and not labels.is_floating_point()
        self._labels = labels if whole else torch.zeros(len(labels), dtype=torch.long)
        self._several = dataset.test.task == Task.LABELS
        self._chance_db, self._alike = chance_db(self._public), dataset.test.alike
        own = [f.name for f in fields(ImageScores)]
        self._further = FurtherMetrics(PICTURES, own=[*own, *_SEEN, _PERCEPTUAL])

    def judge(
        self,
        found: Reconstruction,
        originals: Tensor,
        labels: Tensor,
        own: Tensor,
        conclusion_of: ConclusionOf,
        prior: Tensor | None = None,
    ) -> tuple[Tensor | None, tuple[ExampleScore, ...]]:
        """Return the reconstruction's index for each picture, and each picture's score.

        Args:
            found: the reconstruction.
            originals: the private pictures, (B, C, H, W).
            labels: their classes ``(B,)``, or rows of targets ``(B, K)``.
            own: indices of the originals among the public pictures if they are the control's.
            conclusion_of: function from a verdict, and whether the score is below a guess, to the
                conclusion for this victim.
            prior: what the attack finds with the gradient withheld, (B, C, H, W), as a baseline.
        """
        keep = torch.ones(len(self._public), dtype=torch.bool)
        keep[own] = False  # the control's pictures would be their own nearest
        public, classes = self._public[keep], self._labels[keep]
        matching = _matching(found, originals)
        told = _labels_found(found, matching, len(originals))
        guesses = blind_guesses(originals, public, classes, told, prior)
        scored = {name: score(guess, originals) for name, guess in guesses.items()}
        baselines = self._baselines(guesses, scored, originals)
        if matching is None or found.data is None:
            return None, tuple(
                ExampleScore.unscored(i, baselines[i], label=label)
                for i, label in enumerate(_classes(labels))
            )
        rebuilt = found.data[matching]
        finite, rebuilt = scorable(rebuilt), rebuilt.nan_to_num()
        own_class = {k: candidates(public, classes, k) for k in set(_classes(labels))}
        ranked = [own_class[label] for label in _classes(labels)]
        evidence = gather(rebuilt, originals, guesses, ranked)
        ranks = self._alike or len(own) > 0  # the control's pictures are public ones
        if ranks:
            evidence = with_choice(evidence, found.data.nan_to_num(), matching, public, classes)
        else:
            evidence = without_ranks(evidence)
        figures = _figures(score(rebuilt, originals))
        pair = comparable(rebuilt, originals)
        further = self._further.figures(*pair)
        blind = torch.stack([scored[n].psnr for n in (GREY, MEAN) if n in scored]).amax(0)
        leakage, few = [], len(originals) <= MOST
        several: list[tuple[int, int] | None] = [None] * len(originals)
        if self._several:
            several = _labels_told(found, matching, labels)
        for i, label in enumerate(_classes(labels)):
            if not finite[i]:
                leakage.append(ExampleScore.unscored(i, baselines[i], label=label))
                continue
            word = verdict(evidence[i])
            below = figures[i]["psnr"] < float(blind[i]) - self._chance_db
            conclusion = conclusion_of(word, below)
            if word is Verdict.GUESSING and evidence[i].by_choice > CHANCE:
                doubt = Doubt.BY_CHOICE if ranks else Doubt.UNLIKE
                conclusion = conclusion.with_doubt(doubt)
            leakage.append(
                ExampleScore(
                    example=i,
                    metrics={
                        **figures[i],
                        **_seen(evidence[i]),
                        **(_identified(pair[0][i], pair[1][i], ranked[i]) if few else {}),
                        **further[i],
                    },
                    label=label,
                    label_found=told[i],
                    labels_told=several[i],
                    baselines=baselines[i],
                    verdict=word,
                    meaning=conclusion.meaning,
                    doubts=conclusion.doubts,
                )
            )
        return matching, tuple(leakage)

    def _baselines(
        self, guesses: dict[str, Tensor], scored: dict[str, ImageScores], originals: Tensor
    ) -> list[dict[str, Figures]]:
        """Return the figures of each blind guess for each picture."""
        further = {
            name: self._further.figures(*comparable(guess, originals))
            for name, guess in guesses.items()
        }
        return [
            {
                name: {"psnr": psnr, "ssim": ssim, **further[name][i]}
                for name, (psnr, ssim) in of_picture(scored, i).items()
            }
            for i in range(len(originals))
        ]


_SEEN = ("aligned_psnr", "aligned_blind", "rank", "candidates")
"""Names of the figures of an aligned picture."""


def _seen(evidence: Evidence) -> dict[str, float]:
    """Return the figures of `_SEEN`, those of a warped view if one identifies the picture."""
    seen = evidence.warped or evidence
    rank, candidates = float(seen.rank), float(seen.candidates)
    return dict(zip(_SEEN, (seen.psnr, seen.blind_psnr, rank, candidates), strict=True))


_PERCEPTUAL = "perceptual_rank"
"""Name of the rank by the perceptual distance, among the same candidates."""


def _identified(found: Tensor, original: Tensor, public: Tensor) -> dict[str, float]:
    """Return the rank by the perceptual distance, if there is one."""
    if not PerceptualDistance.available() or not is_large_enough(original):
        return {}
    return {_PERCEPTUAL: float(rank(found, original, public))}


def _classes(labels: Tensor) -> list[int | None]:
    """Return the class of each example; None where labels are other targets of a loss."""
    if labels.ndim > 1 or labels.is_floating_point():
        return [None] * len(labels)
    return [int(label) for label in labels]


def _matching(found: Reconstruction, originals: Tensor) -> Tensor | None:
    """Return the reconstruction's index for each original; None if there is none to compare."""
    if found.data is None or not _complete(found.data, originals):
        return None
    return match(found.data, originals)


def _labels_found(found: Reconstruction, matching: Tensor | None, number: int) -> list[int | None]:
    """Return the class that the attack found for each original."""
    if found.labels is None or matching is None or found.labels.is_floating_point():
        return [None] * number
    return [int(label) for label in found.labels[matching]]


def _labels_told(
    found: Reconstruction, matching: Tensor, wanted: Tensor
) -> list[tuple[int, int] | None]:
    """Return the labels that the attack found of each original with several, and of all."""
    told = found.labels
    if told is None or told.shape[1:] != wanted.shape[1:]:
        return [None] * len(wanted)
    return [labels_right(*pair) for pair in zip(told[matching], wanted, strict=True)]


def _complete(found: Tensor, originals: Tensor) -> bool:
    """Whether there is a reconstruction for each original; an attacker of mixtures has more."""
    return found.shape[1:] == originals.shape[1:] and len(found) >= len(originals)


def _figures(scores: ImageScores) -> list[dict[str, float]]:
    """Return the scores of each picture by name."""
    columns = {f.name: getattr(scores, f.name).tolist() for f in fields(scores)}
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
