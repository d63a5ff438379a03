"""How texts are judged."""

from __future__ import annotations

import torch
from torch import Tensor

from attacks import Reconstruction
from fedsim.data import TokenDataset
from fedsim.metrics.texts import match_texts, score_text
from fedsim.metrics.verdict import Verdict
from fedsim.models import TextModel
from fedsim.scoring.judge import Judge, MeaningOf
from fedsim.scoring.reader import Reader
from fedsim.scoring.types import Meaning, TextLeakage


class TextJudge(Judge):
    """Compares texts token by token, without the special tokens at their ends.

    Args:
        dataset: whose test texts are public.
        model: whose tokens they are.
    """

    def __init__(self, dataset: TokenDataset, model: TextModel) -> None:
        self._dataset, self._reader = dataset, Reader(model)
        self._public = [self._reader.content(row, row) for row in dataset.test.tokens]
        words = model.vocabulary.words(range(len(model.vocabulary)))
        self._words = [w for n, w in enumerate(words) if not model.vocabulary.is_special(n)]

    def originals(self, inputs: Tensor, labels: Tensor) -> Tensor:
        """Return the texts' own tokens, also where they were masked."""
        return self._dataset.train.originals(inputs, labels)

    def judge(
        self,
        found: Reconstruction,
        originals: Tensor,
        labels: Tensor,
        own: Tensor,
        meaning_of: MeaningOf,
    ) -> tuple[Tensor | None, tuple[TextLeakage, ...]]:
        """Return which reconstruction belongs to which text, and each text's leakage."""
        texts = [self._reader.content(row, row) for row in originals]
        kinds = labels.tolist() if labels.ndim == 1 else [None] * len(texts)
        rows, matching = self._matched(found, originals, texts)
        public = [text for n, text in enumerate(self._public) if n not in set(own.tolist())]
        leakage = []
        for i, (original, kind) in enumerate(zip(texts, kinds, strict=True)):
            blind = blind_texts(original, public, self._words)
            if rows is None or matching is None:
                leakage.append(_unscored(i, kind, original, blind))
                continue
            scores = score_text(rows[i], original)
            word = text_verdict(rows[i], original, blind)
            leakage.append(
                TextLeakage(
                    image=i,
                    token_accuracy=scores.token_accuracy,
                    rouge1=scores.rouge1,
                    rouge2=scores.rouge2,
                    rouge_l=scores.rouge_l,
                    bag_recall=scores.bag_recall,
                    bag_precision=scores.bag_precision,
                    exact=scores.exact,
                    edit_distance=scores.edit_distance,
                    label=kind,
                    label_found=None if found.labels is None else int(found.labels[matching[i]]),
                    original=original,
                    found=rows[i],
                    baselines=blind,
                    verdict=word,
                    meaning=meaning_of(word),
                )
            )
        return matching, tuple(leakage)

    def _matched(
        self, found: Reconstruction, originals: Tensor, texts: list[list[str]]
    ) -> tuple[list[list[str]] | None, Tensor | None]:
        """Return the reconstruction of each text, and its row."""
        if found.data is None or found.data.shape != originals.shape:
            return None, None
        everything = [
            [self._reader.content(row, original) for original in originals] for row in found.data
        ]
        # A row is compared over the length of the text that it may belong to.
        whole = [max(versions, key=len) for versions in everything]
        matching = match_texts(whole, texts)
        rows = [everything[row][i] for i, row in enumerate(matching)]
        return rows, torch.tensor(matching)


def _unscored(
    text: int, kind: int | None, original: list[str], blind: dict[str, tuple[float, float]]
) -> TextLeakage:
    return TextLeakage(
        image=text,
        token_accuracy=None,
        rouge1=None,
        rouge2=None,
        rouge_l=None,
        bag_recall=None,
        bag_precision=None,
        exact=None,
        edit_distance=None,
        label=kind,
        label_found=None,
        original=original,
        found=None,
        baselines=blind,
        verdict=Verdict.UNSCORED,
        meaning=Meaning.UNSCORED,
    )


def blind_texts(original, public, words):
    from collections import Counter

    out = {}
    c = Counter(t for p in public for t in p).most_common(1)[0][0]
    s = score_text([c] * len(original), original)
    out["frequent"] = (s.token_accuracy, s.rouge_l)
    best = max(public, key=lambda p: score_text(p, original).rouge_l)
    s = score_text(best, original)
    out["nearest"] = (s.token_accuracy, s.rouge_l)
    return out


def text_verdict(found, original, blind):
    s = score_text(found, original)
    return (
        Verdict.RECOGNISABLE
        if s.rouge_l >= 60
        else Verdict.PARTLY
        if s.rouge1 >= 30
        else Verdict.GUESSING
    )
