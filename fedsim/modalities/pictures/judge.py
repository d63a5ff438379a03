"""Judge of pictures."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import torch
from torch import Tensor, nn

from fedsim.attacks import Reconstruction
from fedsim.core.modality import PICTURES
from fedsim.core.names import NEAREST
from fedsim.data import Prepared
from fedsim.log.schema import ExampleScore
from fedsim.scoring.further import Figures, FurtherMetrics
from fedsim.scoring.judge import ConclusionOf, Judge
from fedsim.scoring.metrics.baselines import blind_guesses, of_picture
from fedsim.scoring.metrics.chance import chance_db
from fedsim.scoring.metrics.images import ImageScores, comparable, scorable, score
from fedsim.scoring.metrics.matching import match
from fedsim.scoring.metrics.verdict import verdict


class PictureJudge(Judge):
    """Compares pictures pixel by pixel.

    Args:
        dataset: the data set, whose test pictures are public.
        model: not used.
    """

    def __init__(self, dataset: Prepared, model: nn.Module) -> None:
        self._public, _ = dataset.test.batch(np.arange(len(dataset.test)))
        self._chance_db = chance_db(self._public)
        self._further = FurtherMetrics(PICTURES, own=[f.name for f in fields(ImageScores)])

    def judge(
        self,
        found: Reconstruction,
        originals: Tensor,
        labels: Tensor,
        own: Tensor,
        conclusion_of: ConclusionOf,
        prior: Tensor | None = None,
    ) -> tuple[Tensor | None, tuple[ExampleScore, ...]]:
        """Return the reconstruction's index for each picture, and each picture's score."""
        guesses = blind_guesses(originals, self._without(own))
        scored = {name: score(guess, originals) for name, guess in guesses.items()}
        baselines = self._baselines(guesses, scored, originals)
        if found.data is None or not _complete(found.data, originals):
            return None, tuple(
                ExampleScore.unscored(i, baselines[i], label=label)
                for i, label in enumerate(labels.tolist())
            )
        matching = match(found.data, originals)
        rebuilt = found.data[matching]
        finite, rebuilt = scorable(rebuilt), rebuilt.nan_to_num()
        figures = _figures(score(rebuilt, originals))
        further = self._further.figures(*comparable(rebuilt, originals))
        best = torch.stack([scored[name].psnr for name in scored if name != NEAREST]).amax(0)
        leakage = []
        for i, label in enumerate(labels.tolist()):
            if not finite[i]:
                leakage.append(ExampleScore.unscored(i, baselines[i], label=label))
                continue
            mine = figures[i]
            word = verdict(mine["psnr"], mine["ssim"], mine["detail"], of_picture(scored, i))
            conclusion = conclusion_of(word, mine["psnr"] < float(best[i]) - self._chance_db)
            leakage.append(
                ExampleScore(
                    example=i,
                    metrics={**mine, **further[i]},
                    label=label,
                    label_found=None if found.labels is None else int(found.labels[matching[i]]),
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

    def _without(self, own: Tensor) -> Tensor:
        """Return the public pictures without the control's, which would be their own nearest."""
        keep = torch.ones(len(self._public), dtype=torch.bool)
        keep[own] = False
        return self._public[keep]


def _complete(found: Tensor, originals: Tensor) -> bool:
    """Whether there is a reconstruction for each original; an attacker of mixtures has more."""
    return found.shape[1:] == originals.shape[1:] and len(found) >= len(originals)


def _figures(scores: ImageScores) -> list[dict[str, float]]:
    """Return the scores of each picture by name."""
    columns = {f.name: getattr(scores, f.name).tolist() for f in fields(scores)}
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
