"""Chance of identification when each picture gets the reconstruction that suits it best.

The reconstructions of a batch are matched with its pictures (`fedsim.scoring.metrics.matching`), so
a picture has a choice of many, which public pictures do not have when they are ranked. Among
reconstructions that show nothing, some then rank a private picture first by chance.

Here public pictures take the place of the private ones: they are matched with the same
reconstructions and ranked among the others. If a batch has no more verdicts that rest on the rank
alone than public pictures have, by an exact test (Fisher, one-sided), these verdicts do not count.
A batch with many faint leaks keeps them all. Verdicts that rest on more are untouched.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from fedsim.core.names import CLASS_MEAN, TONE
from fedsim.log.schema import Verdict
from fedsim.scoring.metrics.baselines import MEAN
from fedsim.scoring.metrics.evidence import Evidence, candidates, compared
from fedsim.scoring.metrics.matching import match
from fedsim.scoring.metrics.verdict import rests_on_rank, verdict

MOST = 200
"""Public pictures that take the place of private ones."""


def with_choice(
    evidence: Sequence[Evidence],
    found: Tensor,
    matching: Tensor,
    public: Tensor,
    classes: Tensor,
) -> list[Evidence]:
    """Return the evidence with the probability of so many first ranks in a batch by chance.

    It is computed if verdicts rest on the rank alone.

    Args:
        evidence: of each of N pictures beside its matched reconstruction.
        found: ``(M, C, H, W)``, all reconstructions, finite; M at least N.
        matching: ``(N,)``, the reconstruction of each picture.
        public: ``(P, C, H, W)`` in [0, 1], public pictures.
        classes: ``(P,)``.
    """
    doubtful = [rests_on_rank(each) for each in evidence]
    clear = [
        verdict(each) in (Verdict.RECOGNISABLE, Verdict.PARTLY) and not rank
        for each, rank in zip(evidence, doubtful, strict=True)
    ]
    if len(found) < 2 or not any(doubtful) or len(public) < 2:
        return list(evidence)
    offered = torch.ones(len(found), dtype=torch.bool)
    offered[matching[torch.tensor(clear)]] = False
    hits = _hits(found[offered], public, classes, len(evidence) - sum(clear))
    tried, own = len(evidence) - sum(clear), sum(doubtful)
    from scipy.stats import hypergeom  # noqa: PLC0415  (a second, and few runs need it)

    # Probability that at least `own` of all hits are among the private pictures.
    chance = hypergeom.sf(own - 1, tried + len(hits), own + sum(hits), tried)
    return [
        replace(each, by_choice=float(chance)) if rank else each
        for each, rank in zip(evidence, doubtful, strict=True)
    ]


def without_ranks(evidence: Sequence[Evidence]) -> list[Evidence]:
    """Return the evidence without verdicts that rest on the rank alone.

    For public pictures of another kind than the private ones, such as those that an audit takes by
    default: then a kind that is closer to noise ranks first without any leak.
    """
    return [replace(each, by_choice=1.0) if rests_on_rank(each) else each for each in evidence]


def _hits(found: Tensor, public: Tensor, classes: Tensor, size: int) -> list[bool]:
    """Return for some public pictures whether a verdict on them would rest on the rank.

    Args:
        found: the reconstructions.
        public: the public pictures.
        classes: their classes.
        size: number of pictures that are matched together.
    """
    generator = torch.Generator().manual_seed(0)
    order = torch.randperm(len(public), generator=generator)[:MOST]
    hits: list[bool] = []
    for rows in torch.split(order, min(size, len(found))):
        originals = public[rows]
        own = [candidates(*_without(public, classes, int(row)), int(classes[row])) for row in rows]
        means = torch.stack([p.mean(0) for p in own])
        tone = originals.double().mean((2, 3), keepdim=True).expand_as(originals)
        mean = public.mean(0, keepdim=True).expand_as(originals)
        guesses = {TONE: tone, MEAN: mean, CLASS_MEAN: means}
        rebuilt = found[match(found, originals)]
        hits += [rests_on_rank(e) for e in compared(rebuilt, originals, guesses, own)]
    return hits


def _without(public: Tensor, classes: Tensor, row: int) -> tuple[Tensor, Tensor]:
    """Return public pictures and classes without one."""
    keep = torch.arange(len(public)) != row
    return public[keep], classes[keep]
