"""What an attacker knows of the clients, and the answer of a countermeasure to one defense."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from fedsim.attacks.matching.objectives import Objective, Wrapper
from fedsim.core.errors import AttackError


@dataclass(frozen=True, eq=False)
class Known:
    """Public knowledge of an attacker, beside the defenses and their parameters.

    Attributes:
        public: images that are no client's ``(N, C, H, W)`` in [0, 1], on the device of the
            attack, to learn from; None if there are none.
        model: the global model that the upload answers; None if it is not at hand.
        upload: whether clients upload gradients or model updates.
        unit: one unit of the upload in units of the gradient: 1 for gradients,
            1 / (learning rate x local steps) for updates.
        batch_size: examples in each local step.
        local_steps: steps of local training behind an upload.
        gradient_rms: root mean square of the coordinates of a gradient as it comes to the defense.
            The server starts from that of public examples; the default is that of the paper's LeNet
            on small pictures. It compares uncertainties: a factor of three off does no harm.
        coordinates: of a gradient; by default those of the paper's LeNet.
    """

    public: Tensor | None = None
    model: nn.Module | None = None
    upload: Literal["gradient", "update"] = "gradient"
    unit: float = 1.0
    batch_size: int = 1
    local_steps: int = 1
    gradient_rms: float = 0.03
    coordinates: int = 15_000

    @property
    def gradient_norm(self) -> float:
        """Norm of a gradient as it comes to the defense."""
        return self.gradient_rms * math.sqrt(self.coordinates)


@dataclass(frozen=True)
class Answer:
    """What a defense does to a gradient, and the uncertainty that it leaves.

    `fedsim.attacks.adaptive.compose` makes one attack of the answers to all defenses of a client.

    Attributes:
        wrappers: what the defense does to a gradient, or the coordinates that it spoils, in order:
            each is nested around all that comes after it.
        likelihood: objective that compares a dummy gradient with an upload whose uncertainty is
            ``spread``; None if the defense leaves no uncertainty.
        spread: root mean square of the difference between the gradient, after the wrappers, and
            the upload, in units of the gradient. Of several likelihoods that of the largest spread
            is used.
        image_noise_std: noise on a gradient for which priors of images are chosen, in place of the
            attack's own, where the likelihood is used; None to keep those of the attack.
        hides_zeros: whether what a defense before this one set to zero is no longer zero, but of
            the size of ``spread``, as after noise.
        reads_levels: whether the likelihood reads levels off the upload, which noise behind it
            would hide.
        gain: factor by which the defense makes a typical gradient, and noise that came before,
            larger or smaller. It keeps uncertainties comparable along a chain.
    """

    wrappers: tuple[Wrapper, ...] = ()
    likelihood: Objective | None = None
    spread: float | None = None
    image_noise_std: float | None = None
    hides_zeros: bool = False
    reads_levels: bool = False
    gain: float = 1.0

    def __post_init__(self) -> None:
        if self.likelihood is not None and not (self.spread is not None and self.spread > 0):
            raise AttackError(
                f"answer with the likelihood {self.likelihood}: expected a spread > 0, found "
                f"{self.spread}; give the root mean square of the uncertainty in units of the "
                "gradient, so that it can be compared with that of other defenses"
            )
