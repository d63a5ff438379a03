"""The verdicts' thresholds beside the values that agree with judgements by eye.

``python -m tests.fedsim.scoring.cases.calibrate`` prints, for each threshold of pictures and of
texts, the values with the best agreement on every other judged row while the other thresholds keep
theirs, and the agreement on the rows in between. Pictures are public ones
(`tests.fedsim.scoring.cases.judged`); the private ones of `tests.fedsim.scoring.cases.pictures`
choose nothing. Texts are the graded ones of ``metrics/graded_texts.tsv``.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType

import numpy as np
from torch import Tensor

from fedsim.data.texts.messages import messages
from fedsim.models.text import embedded_vocabulary
from fedsim.scoring.metrics import regions, text_verdict, verdict
from fedsim.scoring.metrics.baselines import blind_guesses
from fedsim.scoring.metrics.evidence import Evidence, candidates, gather
from fedsim.scoring.metrics.images import comparable
from fedsim.scoring.metrics.text_baselines import TextBaselines
from tests.fedsim.scoring.cases.judged import judged
from tests.fedsim.scoring.cases.pictures import Case, cases

GRADED = Path(__file__).parents[1] / "metrics" / "graded_texts.tsv"

PICTURES: dict[str, Sequence[float]] = {
    "GAIN_DB": np.arange(0, 8.01, 0.25),
    "UNALIGNED_GAIN_DB": np.arange(0, 8.01, 0.25),
    "SSIM_GAIN": np.arange(0, 0.501, 0.02),
    "CHANCE": np.arange(0, 0.501, 0.025),
    "RECOGNISABLE_SSIM": np.arange(0, 0.951, 0.05),
    "RECOGNISABLE_PSNR_DB": np.arange(10, 40.1, 1),
    "CLEAR_GAIN_DB": np.arange(0, 15.1, 0.5),
    "RECOGNISABLE_DETAIL": np.arange(0, 0.951, 0.05),
    "REGION": np.arange(0, 2.01, 0.1),
    "TRACE": np.arange(0, 0.101, 0.005),
    "ADDED": np.arange(0, 0.301, 0.01),
}
"""Thresholds of `fedsim.scoring.metrics.verdict`, and the values that are tried."""

REGIONS: dict[str, Sequence[float]] = {
    "CONTENT": np.arange(0, 1.01, 0.1),
    "EXACT": np.arange(0.5, 0.991, 0.05),
    "EXACT_DETAIL": np.arange(0, 0.951, 0.1),
    "GAIN": np.arange(0.05, 1.001, 0.1),
}
"""Thresholds of `fedsim.scoring.metrics.regions`, and the values that are tried."""

TEXTS: dict[str, Sequence[float]] = {
    "RECOGNISABLE_CONTENT": np.arange(40, 100.1, 1),
    "RECOGNISABLE_ROUGE_L": np.arange(0, 100.1, 2.5),
    "PARTLY_CONTENT": np.arange(0, 60.1, 2.5),
    "PARTLY_COMMON": range(1, 6),
    "GAIN": np.arange(0, 60.1, 2.5),
    "WEIGHTY": range(1, 6),
}
"""Thresholds of `fedsim.scoring.metrics.text_verdict`, and the values that are tried."""


@dataclass(frozen=True)
class Row:
    """A judged reconstruction.

    Attributes:
        name: what was done.
        eye: the judgement; several where the eye hesitated.
        verdict: function that returns the verdict under the present thresholds.
    """

    name: str
    eye: tuple[str, ...]
    verdict: Callable[[], str]

    @property
    def agrees(self) -> bool:
        """Whether the verdict is the eye's."""
        return self.verdict() in self.eye


@dataclass(frozen=True)
class Range:
    """A threshold, and the values with the best agreement on the rows that choose it.

    Attributes:
        name: the constant.
        value: its value.
        low, high: the first and the last value, of those tried, that agree best.
        best, now: rows that agree there, and at the present value.
        other: rows in between that agree at the middle of the range.
    """

    name: str
    value: float
    low: float
    high: float
    best: int
    now: int
    other: int


def _beside(case: Case) -> tuple[dict[str, Tensor], Tensor]:
    """Return the blind guesses for one picture, and the public ones that it is ranked among."""
    guesses = blind_guesses(case.original[None], case.public, case.labels, [case.label])
    return guesses, candidates(case.public, case.labels, case.label or 0)


def evidence(case: Case) -> Evidence:
    """Return the evidence for one picture."""
    guesses, ranked = _beside(case)
    return gather(case.found[None], case.original[None], guesses, [ranked])[0]


def picture(case: Case) -> Row:
    """Return a judged picture with its verdict."""
    seen = evidence(case)
    return Row(case.name, case.eye, lambda: str(verdict.verdict(seen)))


def regional(case: Case) -> Row:
    """Return a judged picture, whose regions are compared anew for each verdict."""
    seen, (guesses, ranked) = evidence(case), _beside(case)
    [found], [truth] = comparable(case.found[None], case.original[None])
    own = [comparable(guess, case.original[None])[0][0] for guess in guesses.values()]

    def word() -> str:
        exact = 0.0 if seen.plain else regions.exact_region(found, truth, own, ranked)
        return str(verdict.verdict(replace(seen, region=exact)))

    return Row(case.name, case.eye, word)


def texts() -> list[Row]:
    """Return the graded texts, with verdicts as in a run on the messages."""
    vocabulary = embedded_vocabulary()

    def tokens(text: str) -> list[str]:
        return vocabulary.words(vocabulary.encode(text, first=False)[:-1])

    numbers = [n for n in range(len(vocabulary)) if not vocabulary.is_special(n)]
    public = [tokens(text) for text in messages().test.texts]
    baselines = TextBaselines(public, vocabulary.words(numbers))

    def row(found: list[str], private: list[str], grade: str) -> Row:
        guesses = baselines.guesses(private)
        return Row(
            " ".join(found),
            (grade,),
            lambda: str(text_verdict.text_verdict(found, private, guesses)),
        )

    graded = csv.DictReader(GRADED.read_text("utf-8").splitlines(), delimiter="\t")
    return [row(tokens(g["guess"]), tokens(g["original"]), g["grade"]) for g in graded]


def count(rows: Sequence[Row]) -> int:
    """Return how many rows agree."""
    return sum(row.agrees for row in rows)


def ranges(
    module: ModuleType, tried: dict[str, Sequence[float]], rows: Sequence[Row]
) -> list[Range]:
    """Return the range of each threshold; the rows of even index choose, the others do not."""
    return [_range(module, name, tried[name], rows) for name in tried]


def _range(module: ModuleType, name: str, values: Sequence[float], rows: Sequence[Row]) -> Range:
    value, choosing, others = getattr(module, name), rows[::2], rows[1::2]
    try:
        agreements = []
        for each in values:
            setattr(module, name, each)
            agreements.append(count(choosing))
        best = max(agreements)
        low, high = (
            float([v for v, n in zip(values, agreements, strict=True) if n == best][i])
            for i in (0, -1)
        )
        setattr(module, name, (low + high) / 2)
        other = count(others)
    finally:
        setattr(module, name, value)
    return Range(name, value, low, high, best, count(choosing), other)


def show(title: str, rows: Sequence[Row], found: Sequence[Range]) -> None:
    """Print the agreement of one kind of data, and its thresholds' ranges."""
    halves = rows[::2], rows[1::2]
    told = ", ".join(f"{count(half)} of {len(half)}" for half in halves)
    print(f"\n{title}: agree on the rows that choose, and on the others: {told}")  # noqa: T201
    for r in found:
        print(  # noqa: T201
            f"{r.name:22} {r.value:6.4g}   best {r.low:.4g} to {r.high:.4g}: {r.best} "
            f"(now {r.now}); others at the middle: {r.other}"
        )
    for row in rows:
        if not row.agrees:
            print(f"  {row.name}: {row.verdict()}, by eye {' or '.join(row.eye)}")  # noqa: T201


if __name__ == "__main__":
    pictures = [picture(case) for case in judged()]
    show("Public pictures", pictures, ranges(verdict, PICTURES, pictures))
    rows = [regional(case) for case in judged()]
    show("Their exact regions", rows, ranges(regions, REGIONS, rows))
    private = [picture(case) for case in cases()]
    print(f"Private pictures, which choose nothing: {count(private)} of {len(private)}")  # noqa: T201
    graded = texts()
    show("Graded texts", graded, ranges(text_verdict, TEXTS, graded))
