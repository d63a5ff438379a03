"""Against signs with one size for each tensor."""

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor
from typing_extensions import override

from fedsim.attacks.adaptive.answer import Answer, Known
from fedsim.attacks.adaptive.base import Countermeasure
from fedsim.attacks.matching.objectives import Gradient, Objective
from fedsim.core.registry import COUNTERMEASURES

WEIGHT = 1e4
"""By simulated attacks on 4 clothes: ten times less or more loses about 1 dB."""

NOISE_STD = 0.04
"""Of gradients as uncertain as signs leave them, for priors of images."""

SPREAD = 0.85
"""In units of the gradient's root mean square; measured on clothes and photographs, LeNet."""


@dataclass(frozen=True)
class SignMatch(Objective):
    """Squares of what has the wrong sign, and of how far each tensor's mean magnitude is off.

    For uploads of signs times the mean magnitude of their tensor, which is the unit of both. Every
    gradient with the same signs and means explains the upload, and costs nothing.

    Attributes:
        weight: of the whole, against a prior.
        plus: whether a positive sign is one; not where values were set to zero before, which count
            as positive.
    """

    keeps_norm: ClassVar[bool] = False

    weight: float = 1.0
    plus: bool = True

    @override
    def __call__(self, dummy: Gradient, shared: Gradient) -> Tensor:
        return self.weight * torch.stack([self._cost(dummy[k], shared[k]) for k in shared]).sum()

    def behind_zeros(self) -> Objective:
        """Return the objective in which a positive sign says nothing."""
        return replace(self, plus=False)

    def _cost(self, dummy: Tensor, shared: Tensor) -> Tensor:
        seen = shared.abs().mean()
        size = torch.where(seen > 0, seen, 1.0)
        signs = shared.sign() if self.plus else shared.sign().clamp(max=0)
        wrong = (-dummy * signs / size).clamp(min=0)
        # Counted once for each coordinate, or it would drown in their number.
        off = dummy.abs().mean() / size - 1
        # What was not sent has neither signs nor a size.
        return torch.where(seen > 0, (wrong**2).sum() + dummy.numel() * off**2, 0.0)


@COUNTERMEASURES.register("signsgd")
class MatchSigns(Countermeasure):
    """Look for an image whose gradient has the signs and sizes of the upload."""

    def answer(self, known: Known) -> Answer:
        """Return an objective that sees signs and sizes alone.

        Many images have them; a prior of images chooses among these.
        """
        return Answer(
            likelihood=SignMatch(WEIGHT),
            spread=SPREAD * known.gradient_rms,
            image_noise_std=NOISE_STD,
        )
