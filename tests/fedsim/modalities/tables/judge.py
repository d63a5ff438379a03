"""The score of rows: cells that are right to two digits."""

import numpy as np
import torch
from torch import Tensor, nn

from fedsim.attacks import Reconstruction
from fedsim.data import Prepared
from fedsim.log.schema import ExampleScore, Verdict
from fedsim.scoring.judge import ConclusionOf, Judge


class TableJudge(Judge):
    def __init__(self, dataset: Prepared, model: nn.Module) -> None:
        rows, _ = dataset.test.batch(np.arange(len(dataset.test)))
        self._mean = rows.mean(0)

    def judge(
        self,
        found: Reconstruction,
        originals: Tensor,
        labels: Tensor,
        own: Tensor,
        conclusion_of: ConclusionOf,
        prior: Tensor | None = None,
    ) -> tuple[Tensor | None, tuple[ExampleScore, ...]]:
        matching = torch.arange(len(originals))
        scores = []
        for i, (original, label) in enumerate(zip(originals, labels.tolist(), strict=True)):
            blind = {"mean": figures(self._mean, original)}
            if found.data is None:
                scores.append(ExampleScore.unscored(i, blind, label=label))
                continue
            metrics = figures(found.data[i], original)
            leaked = metrics["cells_right"] > 50
            verdict = Verdict.RECOGNISABLE if leaked else Verdict.GUESSING
            conclusion = conclusion_of(verdict, False)
            scores.append(
                ExampleScore(
                    example=i,
                    metrics=metrics,
                    baselines=blind,
                    label=label,
                    label_found=None if found.labels is None else int(found.labels[i]),
                    verdict=verdict,
                    meaning=conclusion.meaning,
                    doubts=conclusion.doubts,
                )
            )
        return None if found.data is None else matching, tuple(scores)


def figures(found: Tensor, original: Tensor) -> dict[str, float | None]:
    error = (found - original).abs()
    right = 100 * float((error < 0.01).float().mean())
    return {"cells_right": right, "mean_error": float(error.mean())}
