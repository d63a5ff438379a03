"""Judges reconstructions against the private batches, after the attacks have ended.

The truth never travels: it is drawn again here, from the scenario's seed, the round and the
partition, as the client drew it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

import torch
from torch import Tensor, nn

from attacks import GradientMatching
from clients.site import Site
from fedsim.data import IndexArray
from fedsim.metrics.baselines import blind_baselines, of_picture
from fedsim.metrics.images import scorable, score
from fedsim.metrics.matching import match
from fedsim.metrics.verdict import Verdict, verdict
from server.control import control_indices
from server.victims import Outcome, Victim

FIT_MARGIN = 1.1
"""How much worse than the truth a reconstruction may fit the upload and still count as found.
Two local minima of the same quality differ by a few per cent in a float32 objective."""

FIT_FLOOR = 1e-6
"""Relative objective below which a fit is as good as a perfect one. On the paper's network and
an undefended upload, pictures are recognisable from about 1e-5 on."""


class Meaning(StrEnum):
    """What one scored picture says of attack and defense."""

    LEAKED = "leaked"
    PARTLY = "partly leaked"
    PROTECTED = "protected"  # the attack fitted the upload as well as the truth does
    ATTACK_FAILED = "attack failed"  # the truth fits better, or the attack is an approximation
    UNSCORED = "unscored"


@dataclass(frozen=True)
class Leakage:
    """The score of one reconstructed picture against the private one.

    Attributes:
        image: position in the private batch.
        mse, psnr, ssim, detail: against the private picture; None if there is no reconstruction.
        label: the private label.
        label_found: the label that the attack assigns to this picture.
        baselines: (PSNR, SSIM) of each blind baseline.
        verdict: the scores in a word.
        meaning: what that says of attack and defense.
    """

    image: int
    mse: float | None
    psnr: float | None
    ssim: float | None
    detail: float | None
    label: int
    label_found: int | None
    baselines: dict[str, tuple[float, float]]
    verdict: Verdict
    meaning: Meaning


@dataclass(frozen=True, eq=False)
class Scored:
    """One victim's leakage.

    Attributes:
        originals: the private batch, ``(B, C, H, W)`` in [0, 1].
        matching: index of the reconstruction that belongs to each original, ``(B,)``; None if
            there is no reconstruction.
        truth_misfit: the attack's relative objective of the private batch itself.
        leakage: one for each original.
    """

    originals: Tensor
    matching: Tensor | None
    truth_misfit: float | None
    leakage: tuple[Leakage, ...]


class Scorer:
    """Scores the outcomes of one run.

    Args:
        site: the scenario with its data.
    """

    def __init__(self, site: Site) -> None:
        self._site = site

    @cached_property
    def _public(self) -> Tensor:
        everything = torch.arange(len(self._site.dataset.test)).numpy()
        return self._site.dataset.test.batch(everything)[0]

    def truth(self, victim: Victim) -> tuple[Tensor, Tensor]:
        """Return the batch behind a victim's upload: images ``(B, C, H, W)``, labels ``(B,)``."""
        if victim.is_control:
            return self._site.dataset.test.batch(self._control(victim.server_round))
        clients = [self._site.batches(p, victim.server_round) for p in victim.partitions]
        # Step by step, as one client with all these examples would take them.
        batches = [batch for step in zip(*clients, strict=True) for batch in step]
        return torch.cat([x for x, _ in batches]), torch.cat([y for _, y in batches])

    def score(self, outcome: Outcome) -> Scored:
        """Return the leakage of one victim."""
        originals, labels = self.truth(outcome.victim)
        baselines = blind_baselines(originals, self._public_without(outcome.victim))
        found = outcome.reconstruction
        if found.data is None or found.data.shape != originals.shape:
            nothing = enumerate(labels.tolist())
            leakage = [_unscored(i, label, of_picture(baselines, i)) for i, label in nothing]
            return Scored(originals, None, None, tuple(leakage))
        matching = match(found.data, originals)
        rebuilt = found.data[matching]
        finite = scorable(rebuilt)
        scores = score(rebuilt.nan_to_num(), originals)
        misfit = _truth_misfit(outcome, originals, labels)
        leakage = []
        for i, label in enumerate(labels.tolist()):
            blind = of_picture(baselines, i)
            if not finite[i]:
                leakage.append(_unscored(i, label, blind))
                continue
            psnr, ssim = float(scores.psnr[i]), float(scores.ssim[i])
            fine = float(scores.detail[i])
            word = verdict(psnr, ssim, fine, blind)
            leakage.append(
                Leakage(
                    image=i,
                    mse=float(scores.mse[i]),
                    psnr=psnr,
                    ssim=ssim,
                    detail=fine,
                    label=label,
                    label_found=None if found.labels is None else int(found.labels[matching[i]]),
                    baselines=blind,
                    verdict=word,
                    meaning=self._meaning(word, outcome, misfit),
                )
            )
        return Scored(originals, matching, misfit, tuple(leakage))

    def approximate(self, victim: Victim) -> bool:
        """Say whether the attack took several steps, or several batches, for one."""
        several = not victim.is_control and self._site.scenario.federation.local_steps > 1
        attack = victim.attack
        follows = isinstance(attack, GradientMatching) and attack.local_steps == "unroll"
        if victim.is_sum:  # after a first step each client is at weights of its own
            return several or self._batch_statistics
        return several and not follows

    @cached_property
    def _batch_statistics(self) -> bool:
        """Whether a batch of several clients would be normalised unlike theirs."""
        model = self._site.model(self._site.architecture.state_dict())
        norms = (m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm))
        return any(norm.training for norm in norms)

    def _meaning(self, word: Verdict, outcome: Outcome, truth_misfit: float | None) -> Meaning:
        if word is Verdict.RECOGNISABLE:
            return Meaning.LEAKED
        if word is Verdict.PARTLY:
            return Meaning.PARTLY
        if truth_misfit is None or word is Verdict.UNSCORED:
            return Meaning.UNSCORED
        # An attack on the wrong equations fits them without finding anything: no defense's merit.
        found_a_fit = outcome.reconstruction.relative_objective <= max(
            FIT_MARGIN * truth_misfit, FIT_FLOOR
        )
        if found_a_fit and not self.approximate(outcome.victim):
            return Meaning.PROTECTED
        return Meaning.ATTACK_FAILED

    def _public_without(self, victim: Victim) -> Tensor:
        """Return the public images, less the control's own, which would be their own nearest."""
        if not victim.is_control:
            return self._public
        keep = torch.ones(len(self._public), dtype=torch.bool)
        keep[self._control(victim.server_round)] = False
        return self._public[keep]

    def _control(self, server_round: int) -> IndexArray:
        scenario = self._site.scenario
        return control_indices(
            self._site.dataset.test,
            scenario.federation.batch_size,
            seed=scenario.seed,
            server_round=server_round,
        )


def _truth_misfit(outcome: Outcome, originals: Tensor, labels: Tensor) -> float | None:
    victim = outcome.victim
    if victim.observation is None:
        return None
    return victim.attack.misfit(outcome.model, victim.observation, originals, labels)


def _unscored(image: int, label: int, baselines: dict[str, tuple[float, float]]) -> Leakage:
    return Leakage(
        image=image,
        mse=None,
        psnr=None,
        ssim=None,
        detail=None,
        label=label,
        label_found=None,
        baselines=baselines,
        verdict=Verdict.UNSCORED,
        meaning=Meaning.UNSCORED,
    )
