"""Countermeasure to signSGD: signs with one magnitude for each tensor."""

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
"""From simulated attacks on 4 clothes: ten times less or more loses about 1 dB."""

NOISE_STD = 0.04
"""Noise level for image priors, for the uncertainty that signs leave."""

SPREAD = 0.85
"""Spread in units of the gradient's rms, measured with LeNet on clothes and photographs."""


@dataclass(frozen=True)
class SignMatch(Objective):
    """Squares of coordinates with a wrong sign, and of errors in each tensor's mean magnitude.

    For uploads of signs times the mean magnitude of their tensor, which is the unit of both terms.
    Every gradient with the same signs and means explains the upload and costs nothing.

    Attributes:
        weight: weight relative to a prior.
        plus: whether a positive sign is informative; not if values were set to zero before, which
            count as positive.
    """

    keeps_norm: ClassVar[bool] = False

    weight: float = 1.0
    plus: bool = True

    @override
    def __call__(self, dummy: Gradient, shared: Gradient) -> Tensor:
        return self.weight * torch.stack([self._cost(dummy[k], shared[k]) for k in shared]).sum()

    def behind_zeros(self) -> Objective:
        """Return the objective that ignores positive signs."""
        return replace(self, plus=False)

    def _cost(self, dummy: Tensor, shared: Tensor) -> Tensor:
        seen = shared.abs().mean()
        size = torch.where(seen > 0, seen, 1.0)
        signs = shared.sign() if self.plus else shared.sign().clamp(max=0)
        wrong = (-dummy * signs / size).clamp(min=0)
        # Counted once for each coordinate, otherwise it would be negligible.
        off = dummy.abs().mean() / size - 1
        # Tensors that were not sent have neither signs nor a magnitude.
        return torch.where(seen > 0, (wrong**2).sum() + dummy.numel() * off**2, 0.0)


@COUNTERMEASURES.register("signsgd")
class MatchSigns(Countermeasure):
    """Search for an image whose gradient has the signs and magnitudes of the upload."""

    def answer(self, known: Known) -> Answer:
        """Return an objective of signs and magnitudes only.

        Many images have the same ones; an image prior selects among them.
        """
        return Answer(
            likelihood=SignMatch(WEIGHT),
            spread=SPREAD * known.gradient_rms,
            image_noise_std=NOISE_STD,
        )
