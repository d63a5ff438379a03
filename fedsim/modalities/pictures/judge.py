"""Judge of pictures."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from fedsim.attacks import Reconstruction
from fedsim.data import Prepared
from fedsim.log.schema import ExampleScore
from fedsim.scoring.judge import Judge, MeaningOf
from fedsim.scoring.metrics.baselines import blind_baselines, of_picture
from fedsim.scoring.metrics.images import scorable, score
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

    def judge(
        self,
        found: Reconstruction,
        originals: Tensor,
        labels: Tensor,
        own: Tensor,
        meaning_of: MeaningOf,
    ) -> tuple[Tensor | None, tuple[ExampleScore, ...]]:
        """Return the reconstruction's index for each picture, and each picture's score."""
        baselines = blind_baselines(originals, self._without(own))
        if found.data is None or found.data.shape != originals.shape:
            return None, tuple(
                ExampleScore.unscored(i, _named(of_picture(baselines, i)), label=label)
                for i, label in enumerate(labels.tolist())
            )
        matching = match(found.data, originals)
        rebuilt = found.data[matching]
        finite = scorable(rebuilt)
        scores = score(rebuilt.nan_to_num(), originals)
        leakage = []
        for i, label in enumerate(labels.tolist()):
            blind = of_picture(baselines, i)
            if not finite[i]:
                leakage.append(ExampleScore.unscored(i, _named(blind), label=label))
                continue
            psnr, ssim = float(scores.psnr[i]), float(scores.ssim[i])
            fine = float(scores.detail[i])
            word = verdict(psnr, ssim, fine, blind)
            leakage.append(
                ExampleScore(
                    example=i,
                    metrics={
                        "mse": float(scores.mse[i]),
                        "psnr": psnr,
                        "ssim": ssim,
                        "detail": fine,
                    },
                    label=label,
                    label_found=None if found.labels is None else int(found.labels[matching[i]]),
                    baselines=_named(blind),
                    verdict=word,
                    meaning=meaning_of(word),
                )
            )
        return matching, tuple(leakage)

    def _without(self, own: Tensor) -> Tensor:
        """Return the public pictures without the control's, which would be their own nearest."""
        keep = torch.ones(len(self._public), dtype=torch.bool)
        keep[own] = False
        return self._public[keep]


def _named(baselines: dict[str, tuple[float, float]]) -> dict[str, dict[str, float | None]]:
    """Return the metrics of baselines by name."""
    return {name: {"psnr": psnr, "ssim": ssim} for name, (psnr, ssim) in baselines.items()}
