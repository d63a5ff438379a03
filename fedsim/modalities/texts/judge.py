"""Judge of texts."""

from __future__ import annotations

from dataclasses import asdict, fields
from functools import cache
from typing import ClassVar

import torch
from torch import Tensor

from fedsim.attacks import Reconstruction
from fedsim.core.modality import TEXTS
from fedsim.core.names import NEAREST
from fedsim.core.tasks import Task
from fedsim.data import TokenDataset
from fedsim.log.schema import ExampleScore, Meaning, Verdict
from fedsim.modalities.texts.reader import Reader
from fedsim.models import TextModel
from fedsim.scoring.further import Figures, FurtherMetrics
from fedsim.scoring.judge import ConclusionOf, Judge
from fedsim.scoring.metrics.chance import below_chance
from fedsim.scoring.metrics.text_baselines import TextBaselines
from fedsim.scoring.metrics.text_verdict import text_verdict
from fedsim.scoring.metrics.texts import TextScores, match_texts, score_text


class TextJudge(Judge):
    """Compares texts token by token, without the special tokens at their ends.

    Args:
        dataset: the data set, whose test texts are public.
        model: the language model.
    """

    discrete: ClassVar[bool] = True

    def __init__(self, dataset: TokenDataset, model: TextModel) -> None:
        self._dataset, self._reader = dataset, Reader(model)
        public = [self._reader.content(row, row) for row in dataset.test.tokens]
        words = model.vocabulary.words(range(len(model.vocabulary)))
        ordinary = [w for n, w in enumerate(words) if self._is_ordinary(model, n)]
        self._model = model
        self._baselines = TextBaselines(
            public, ordinary, cache(self._unconditional), dataset.test.labels.tolist()
        )
        self._further = FurtherMetrics(TEXTS, own=[f.name for f in fields(TextScores)])

    def originals(self, inputs: Tensor, labels: Tensor) -> Tensor:
        """Return the original tokens of texts, with masks undone."""
        return self._dataset.train.originals(inputs, labels)

    def words(self, example: Tensor, original: Tensor) -> list[str]:
        """Return the tokens of a text, without the special tokens at its ends."""
        return self._reader.content(example, original)

    def judge(
        self,
        found: Reconstruction,
        originals: Tensor,
        labels: Tensor,
        own: Tensor,
        conclusion_of: ConclusionOf,
        prior: Tensor | None = None,
    ) -> tuple[Tensor | None, tuple[ExampleScore, ...]]:
        """Return the reconstruction's index for each text, and each text's score."""
        texts = [self._reader.content(row, row) for row in originals]
        kinds = labels.tolist() if labels.ndim == 1 else [None] * len(texts)
        rows, matching = self._matched(found, originals, texts)
        readable = self._reader.readable
        private = [readable(t, row) for t, row in zip(texts, originals, strict=True)]
        rebuilt = None
        further: list[Figures] = []
        if rows is not None:
            rebuilt = [readable(r, row) for r, row in zip(rows, originals, strict=True)]
            further = self._further.figures(
                rebuilt, [p or t for p, t in zip(private, texts, strict=True)]
            )
        leakage = []
        for i, (original, kind) in enumerate(zip(texts, kinds, strict=True)):
            guesses = self._guesses(original, originals[i], own, kind)
            blind = self._blind(guesses, private[i] or original)
            if not private[i]:
                shown = None if rows is None else tuple(rows[i])
                leakage.append(_nothing(i, blind, label=kind, original=original, found=shown))
                continue
            if rows is None or rebuilt is None or matching is None:
                leakage.append(ExampleScore.unscored(i, blind, label=kind, original=original))
                continue
            scores = score_text(rebuilt[i], private[i])
            word = text_verdict(rebuilt[i], private[i], guesses)
            best = max(float(f["token_accuracy"] or 0) for k, f in blind.items() if k != NEAREST)
            below = below_chance(scores.token_accuracy / 100, best / 100, len(private[i]))
            conclusion = conclusion_of(word, below)
            unknown = {"unknown_tokens": float(len(original) - len(private[i]))}
            leakage.append(
                ExampleScore(
                    example=i,
                    metrics={
                        **{k: float(v) for k, v in asdict(scores).items()},
                        **unknown,
                        **further[i],
                    },
                    label=kind,
                    label_found=None if found.labels is None else int(found.labels[matching[i]]),
                    original=tuple(original),
                    found=tuple(rows[i]),
                    baselines=blind,
                    verdict=word,
                    meaning=conclusion.meaning,
                    doubts=conclusion.doubts,
                )
            )
        return matching, tuple(leakage)

    def _guesses(
        self, original: list[str], row: Tensor, own: Tensor, kind: int | None
    ) -> dict[str, list[str]]:
        """Return the readable tokens of each blind guess at one text."""
        guesses = self._baselines.guesses(original, own.tolist(), kind)
        return {name: self._reader.readable(guess, row) for name, guess in guesses.items()}

    def _blind(self, guesses: dict[str, list[str]], original: list[str]) -> dict[str, Figures]:
        """Return the figures of each blind guess at one text."""
        own = [score_text(guess, original) for guess in guesses.values()]
        further = self._further.figures(list(guesses.values()), [original] * len(guesses))
        return {
            name: {"token_accuracy": s.token_accuracy, "rouge_l": s.rouge_l, **more}
            for name, s, more in zip(guesses, own, further, strict=True)
        }

    @staticmethod
    def _is_ordinary(model: TextModel, token: int) -> bool:
        """Return whether a token may be drawn as a guess."""
        vocabulary = model.vocabulary
        return token != vocabulary.unknown and not vocabulary.is_special(token)

    @torch.no_grad()
    def _unconditional(self, length: int) -> list[str] | None:
        """Return the unconditional guess of the run's initial model."""
        model, specials = self._model, self._model.vocabulary.specials
        if model.task is Task.MASKED and specials.mask is not None:
            first = [] if specials.first is None else [specials.first]
            row = torch.tensor([[*first, *[specials.mask] * length, specials.last]])
            best = model(row)[0, len(first) : len(first) + length].argmax(-1)
            return model.vocabulary.words(best.tolist())
        if model.task is Task.NEXT:
            row = torch.tensor([[specials.last]])
            for _ in range(length):
                row = torch.cat([row, model(row)[:, -1].argmax(-1, keepdim=True)], dim=1)
            return model.vocabulary.words(row[0, 1:].tolist())
        return None

    def _matched(
        self, found: Reconstruction, originals: Tensor, texts: list[list[str]]
    ) -> tuple[list[list[str]] | None, Tensor | None]:
        """Return the reconstruction of each text, and its index."""
        if found.data is None or found.data.shape != originals.shape:
            return None, None
        everything = [
            [self._reader.content(row, original) for original in originals] for row in found.data
        ]
        # A row is compared over the length of each text that it may be matched to.
        whole = [max(versions, key=len) for versions in everything]
        matching = match_texts(whole, texts)
        rows = [everything[row][i] for i, row in enumerate(matching)]
        return rows, torch.tensor(matching)


def _nothing(
    example: int,
    blind: dict[str, Figures],
    *,
    label: int | None,
    original: list[str],
    found: tuple[str, ...] | None,
) -> ExampleScore:
    """Return the score of a text of which the vocabulary expresses nothing."""
    return ExampleScore(
        example=example,
        metrics={"unknown_tokens": float(len(original))},
        baselines=blind,
        label=label,
        verdict=Verdict.NOTHING,
        meaning=Meaning.NOTHING,
        original=tuple(original),
        found=found,
    )
