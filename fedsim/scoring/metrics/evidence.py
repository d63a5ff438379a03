"""Evidence that a reconstruction shows its private picture, beyond what the baselines show."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from fedsim.core.names import CHOSEN_BY_TRUTH
from fedsim.scoring.metrics import images
from fedsim.scoring.metrics.aligned import Aligned, align, explained
from fedsim.scoring.metrics.regions import exact_region
from fedsim.scoring.metrics.warped import warp

PLAIN_STD = 0.02
"""Standard deviation, in each channel, below which a picture is plain: 5 of 255 levels. A display
shows a single tone then."""


LEAST_CANDIDATES = 20
"""Public pictures below which chance gives the first rank too often."""

MOST_CANDIDATES = 200


@dataclass(frozen=True)
class Evidence:
    """Scores of one aligned reconstruction beside those of its baselines, each aligned too.

    Attributes:
        psnr, ssim, detail: of the reconstruction.
        blind_psnr, blind_ssim: the best of the baselines that are not chosen with the truth.
        public_psnr: the best of those that are; None if there are none.
        added: share of what the best baseline leaves unexplained that the reconstruction explains.
        gain: PSNR above the best blind guess, both as they are, without an alignment.
        rank: rank of the private picture among the candidates by its similarity to the
            reconstruction; 1 is the most similar.
        candidates: how many pictures were ranked, with the private one.
        as_similar: share of the public candidates that are at least as similar to the private
            picture as the reconstruction is.
        by_choice: probability of so many first ranks in a batch by the choice among its
            reconstructions (`fedsim.scoring.metrics.selection`).
        region: content of an exact region that no baseline and no candidate has; 0 without one.
        plain: whether the private picture is plain.
        warped: evidence of a turned, scaled or far moved view that identifies the private picture.
    """

    psnr: float
    ssim: float
    detail: float
    blind_psnr: float
    blind_ssim: float
    public_psnr: float | None = None
    added: float = 0.0
    gain: float = -math.inf
    rank: int = 1
    candidates: int = 1
    as_similar: float = 0.0
    by_choice: float = 0.0
    region: float = 0.0
    plain: bool = False
    warped: Evidence | None = None


def gather(
    rebuilt: Tensor,
    originals: Tensor,
    guesses: Mapping[str, Tensor],
    candidates: Sequence[Tensor],
) -> list[Evidence]:
    """Return the evidence for each of N pictures.

    Where a view of a reconstruction (`fedsim.scoring.metrics.warped`) identifies the private
    picture, there is evidence of that view too.

    Args:
        rebuilt: ``(N, C, H, W)``, the reconstructions, finite.
        originals: ``(N, C, H, W)`` in [0, 1].
        guesses: ``(N, C, H, W)`` of each baseline by name; at least one that is not chosen with the
            truth.
        candidates: for each original the public pictures ``(M, C, H, W)`` among which it is ranked.
    """
    evidence: list[Evidence] = []
    for begin in range(0, len(originals), images.CHUNK):
        part = slice(begin, begin + images.CHUNK)
        own = {name: guess[part] for name, guess in guesses.items()}
        evidence += _gathered(rebuilt[part], originals[part], own, candidates[part])
    return evidence


def _gathered(
    rebuilt: Tensor,
    originals: Tensor,
    guesses: Mapping[str, Tensor],
    candidates: Sequence[Tensor],
) -> list[Evidence]:
    """Return the evidence for each picture of one chunk; arguments as `gather`'s."""
    evidence = compared(rebuilt, originals, guesses, candidates)
    found, truths = images.comparable(rebuilt, originals)
    known = {name: images.comparable(guess, originals)[0] for name, guess in guesses.items()}
    share = align(found, truths).explained.tolist()
    for i, each in enumerate(evidence):
        if each.plain:
            continue
        own = {name: guess[i] for name, guess in known.items()}
        view = warp(found[i], truths[i], own, candidates[i], share[i])
        if view is not None:
            kept = {name: guess[None] for name, guess in view.guesses.items()}
            seen = compared(view.found[None], truths[i : i + 1], kept, candidates[i : i + 1])
            seen_so = replace(seen[0], rank=1, region=0.0, gain=-math.inf)
            evidence[i] = replace(each, warped=seen_so)
    return evidence


def compared(
    rebuilt: Tensor,
    originals: Tensor,
    guesses: Mapping[str, Tensor],
    candidates: Sequence[Tensor],
) -> list[Evidence]:
    """Return the evidence for each of N pictures without warped views; arguments as `gather`'s."""
    found, truths = images.comparable(rebuilt, originals)
    known = {name: images.comparable(guess, originals)[0] for name, guess in guesses.items()}
    fits = {name: align(guess, truths) for name, guess in known.items()}
    mine = align(found, truths)
    own = _Scores.of(mine)
    others = {name: _Scores.of(fit) for name, fit in fits.items()}
    unaligned = images.psnr(found, truths) - torch.stack(
        [images.psnr(guess, truths) for n, guess in known.items() if n not in CHOSEN_BY_TRUTH]
    ).amax(0)
    evidence = []
    for i, public in enumerate(candidates):
        blind = {n: s for n, s in others.items() if n not in CHOSEN_BY_TRUTH}
        chosen = [float(s.psnr[i]) for n, s in others.items() if n in CHOSEN_BY_TRUTH]
        best = max(blind, key=lambda name, i=i: float(blind[name].psnr[i]))  # type: ignore[misc]
        rank, as_similar = ranked(found[i], truths[i], public, float(mine.explained[i]))
        plain = bool((truths[i].std((1, 2), correction=0) < PLAIN_STD).all())
        evidence.append(
            Evidence(
                float(own.psnr[i]),
                float(own.ssim[i]),
                float(own.detail[i]),
                float(blind[best].psnr[i]),
                max(float(s.ssim[i]) for s in blind.values()),
                max(chosen, default=None),
                _added(mine.fitted[i], fits[best].fitted[i], mine.truths[i]),
                float(unaligned[i]),
                rank,
                len(public) + 1,
                as_similar,
                region=0.0
                if plain
                else exact_region(found[i], truths[i], [g[i] for g in known.values()], public),
                plain=plain,
            )
        )
    return evidence


def candidates(public: Tensor, classes: Tensor, label: int | None) -> Tensor:
    """Return the public pictures among which a private one is ranked.

    Those of its class, so that the class alone identifies nothing; all, if its class has few.

    Args:
        public: ``(M, C, H, W)``.
        classes: ``(M,)``.
        label: the private picture's class; None if it has none.
    """
    own = public[:0] if label is None else public[classes == label]
    return (own if len(own) >= LEAST_CANDIDATES else public)[:MOST_CANDIDATES]


@dataclass(frozen=True)
class _Scores:
    psnr: Tensor
    ssim: Tensor
    detail: Tensor

    @classmethod
    def of(cls, fit: Aligned) -> _Scores:
        pair = (fit.fitted, fit.truths)
        return cls(images.psnr(*pair), images.ssim(*pair), images.detail(*pair))


def ranked(found: Tensor, original: Tensor, public: Tensor, share: float) -> tuple[int, float]:
    """Return the rank of a private picture, and the share of public ones as similar to it.

    Args:
        found: ``(C, H, W)``, the reconstruction.
        original: ``(C, H, W)``.
        public: ``(M, C, H, W)``.
        share: the share of the original's variance that the reconstruction explains.
    """
    if len(public) == 0:
        return 1, 0.0
    many = public.double()
    closer = explained(found[None], many) >= share
    similar = explained(many, original[None]) >= share
    return int(closer.sum()) + 1, float(similar.double().mean())


def _added(found: Tensor, best: Tensor, original: Tensor) -> float:
    """Return the share of what a baseline leaves unexplained that a reconstruction explains."""
    first, second, truth = (
        (x - x.mean((1, 2), keepdim=True)).flatten() for x in (best, found, original)
    )
    if float(first.square().sum()) > 0:
        base = first / first.norm()
        second, truth = (x - (x @ base) * base for x in (second, truth))
    power = float(second.square().sum() * truth.square().sum())
    tiny = 1e-9 * float(original.square().sum()) ** 2
    return float(second @ truth) ** 2 / power if power > tiny else 0.0
