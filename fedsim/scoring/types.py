"""What a scored reconstruction comes to."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from torch import Tensor

from fedsim.scoring.metrics.verdict import Verdict


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


@dataclass(frozen=True)
class TextLeakage:
    """The score of one reconstructed text against the private one.

    Attributes:
        image: position in the private batch (the name is that of pictures' records).
        token_accuracy: share of the tokens that are right at their places, in %; as the next ones
            None if there is no reconstruction.
        rouge1, rouge2, rouge_l: F1, 0 to 100.
        bag_recall, bag_precision: of the tokens wherever they stand, in %.
        exact: whether every token is right.
        edit_distance: of the tokens.
        label: the private kind of text; None if the model does not learn kinds.
        label_found: the kind that the attack assigns to this text.
        original: the private tokens.
        found: the reconstructed ones.
        baselines: (token accuracy, ROUGE-L) of each blind baseline.
        verdict: the scores in a word.
        meaning: what that says of attack and defense.
    """

    image: int
    token_accuracy: float | None
    rouge1: float | None
    rouge2: float | None
    rouge_l: float | None
    bag_recall: float | None
    bag_precision: float | None
    exact: bool | None
    edit_distance: int | None
    label: int | None
    label_found: int | None
    original: list[str]
    found: list[str] | None
    baselines: dict[str, tuple[float, float]]
    verdict: Verdict
    meaning: Meaning


@dataclass(frozen=True, eq=False)
class Scored:
    """One victim's leakage.

    Attributes:
        originals: the private batch: pictures ``(B, C, H, W)`` in [0, 1], or tokens ``(B, L)``.
        matching: index of the reconstruction that belongs to each original, ``(B,)``; None if
            there is no reconstruction.
        truth_misfit: the attack's relative objective of the private batch itself.
        leakage: one for each original.
    """

    originals: Tensor
    matching: Tensor | None
    truth_misfit: float | None
    leakage: tuple[Leakage | TextLeakage, ...]
