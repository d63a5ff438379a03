"""The contract of metrics."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from fedsim.core.modality import MODALITIES, PICTURES, TEXTS
from fedsim.scoring.metrics import Metric
from fedsim.testing.contract import (
    HALF_OF_THE_DIGITS,
    Claim,
    Subject,
    expect,
    expect_close,
    expect_equal,
    unchanged_randomness,
)

SHAPES = ((4, 1, 8, 8), (3, 3, 16, 12), (1, 1, 28, 28))
"""Of batches of pictures."""

TOKENS = (
    ("the", "train", "leaves", "at", "nine"),
    ("see", "you", "at", "the", "the", "station"),
    ("yes",),
)


@dataclass(frozen=True)
class Case:
    """Reconstructions and private examples, as a judge gives them to a metric.

    Attributes:
        what: in words.
        rebuilt: N reconstructions.
        originals: N private examples.
    """

    what: str
    rebuilt: Any
    originals: Any


def claims(cls: type[Metric]) -> list[Claim]:
    """Return the claims about a class of metrics.

    Only metrics of pictures and of texts are computed: other modalities have no examples here. Nor
    is a metric that needs what is not installed.
    """
    if getattr(cls, "modality", None) not in (PICTURES, TEXTS) or not cls.available():
        return [its_modality_exists]
    return [
        its_modality_exists,
        it_is_one_finite_number_for_each_example,
        the_original_itself_scores_best,
        the_same_again_scores_the_same,
        the_order_of_the_batch_does_not_matter,
        what_is_given_is_untouched,
    ]


def its_modality_exists(subject: Subject) -> None:
    """It names a registered modality, and is constructed without arguments."""
    modality = getattr(subject.cls, "modality", None)
    expect(modality in MODALITIES.names(), f"no modality is named {modality!r}")
    subject.cls()


def it_is_one_finite_number_for_each_example(subject: Subject) -> None:
    """The score is a finite tensor (N,)."""
    for case in _cases(subject):
        scores = subject.make().score(case.rebuilt, case.originals)
        expect(isinstance(scores, Tensor), f"{case.what}: a {type(scores).__name__}, not a tensor")
        expected = (len(case.originals),)
        expect(scores.shape == expected, f"{case.what}: shape {tuple(scores.shape)}")
        expect(bool(torch.isfinite(scores).all()), f"{case.what}: a score is not finite")


def the_original_itself_scores_best(subject: Subject) -> None:
    """No other reconstruction scores better than the private example."""
    sign = 1 if subject.cls.higher_is_better else -1
    for case in _cases(subject):
        best = sign * _scores(subject, case.originals, case.originals)
        found = sign * _scores(subject, case.rebuilt, case.originals)
        slack = HALF_OF_THE_DIGITS * best.abs().clamp(min=1)
        better = bool((found > best + slack).any())
        expect(
            not better, f"{case.what}: {(sign * found).tolist()}, itself {(sign * best).tolist()}"
        )


def the_same_again_scores_the_same(subject: Subject) -> None:
    """The score is deterministic and draws nothing from PyTorch's global generator."""
    for case in _cases(subject):
        first = _scores(subject, case.rebuilt, case.originals)

        def again(case: Case = case, first: Tensor = first) -> None:
            second = _scores(subject, case.rebuilt, case.originals)
            expect_equal(second, first, f"{case.what}: another score the second time")

        unchanged_randomness(again)


def the_order_of_the_batch_does_not_matter(subject: Subject) -> None:
    """A reversed batch has the reversed scores, and an example alone has its own."""
    for case in _cases(subject):
        scores = _scores(subject, case.rebuilt, case.originals)
        order = range(len(case.originals))[::-1]
        turned = _scores(subject, _chosen(case.rebuilt, order), _chosen(case.originals, order))
        expect_close(turned, scores.flip(0), f"{case.what}: other scores in another order")
        alone = _scores(subject, case.rebuilt[:1], case.originals[:1])
        expect_close(alone, scores[:1], f"{case.what}: another score without the others")


def what_is_given_is_untouched(subject: Subject) -> None:
    """Reconstructions and private examples are not modified."""
    for case in _cases(subject):
        given = copy.deepcopy((case.rebuilt, case.originals))
        subject.make().score(*given)
        for now, before in zip(given, (case.rebuilt, case.originals), strict=True):
            same = torch.equal(now, before) if isinstance(now, Tensor) else now == before
            expect(same, f"{case.what}: what was given was modified")


def _scores(subject: Subject, rebuilt: Any, originals: Any) -> Tensor:
    scores: Tensor = subject.make().score(*copy.deepcopy((rebuilt, originals)))
    return scores.to(torch.float64)


def _chosen(examples: Any, order: range) -> Any:
    if isinstance(examples, Tensor):
        return examples[list(order)]
    return [examples[i] for i in order]


def _cases(subject: Subject) -> Iterator[Case]:
    return _pictures() if subject.cls.modality == PICTURES else _texts()


def _pictures() -> Iterator[Case]:
    generator = torch.Generator().manual_seed(0)
    for shape in SHAPES:
        truth, noise = torch.rand(2, *shape, generator=generator, dtype=torch.float64)
        yield Case(f"noise of shape {shape}", noise, truth)
        yield Case(f"originals under noise, {shape}", 0.8 * truth + 0.2 * noise, truth)
        yield Case(f"grey of shape {shape}", torch.full_like(truth, 0.5), truth)
        yield Case(f"noise for black, {shape}", noise, torch.zeros_like(truth))
        yield Case(f"white for black, {shape}", torch.ones_like(truth), torch.zeros_like(truth))


def _texts() -> Iterator[Case]:
    truth = [list(tokens) for tokens in TOKENS]
    yield Case("reversed texts", [tokens[::-1] for tokens in truth], truth)
    yield Case("texts cut short", [tokens[: len(tokens) // 2] for tokens in truth], truth)
    yield Case("longer texts", [[*tokens, "and", "more"] for tokens in truth], truth)
    yield Case("texts of other tokens", [["no"] * len(tokens) for tokens in truth], truth)
    yield Case("texts without tokens", [[] for _ in truth], truth)
