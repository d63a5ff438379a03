"""Knowledge of an attacker, and the answer of a countermeasure to one defense."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from fedsim.attacks.matching.objectives import Objective, Wrapper
from fedsim.attacks.matching.processing import Change
from fedsim.attacks.matching.undo import Undo
from fedsim.core.errors import AttackError


@dataclass(frozen=True, eq=False)
class Known:
    """Public knowledge of an attacker, in addition to the defenses and their parameters.

    Attributes:
        public: public images ``(N, C, H, W)`` in [0, 1], on the device of the attack, to learn
            from, or None.
        public_labels: the classes of the public images, ``(N,)``, or None.
        model: the global model sent to the clients, or None.
        upload: whether clients upload gradients or model updates.
        unit: gradient units per unit of the upload: 1 for gradients,
            1 / (learning rate x local steps) for updates.
        batch_size: number of examples in each local step.
        local_steps: number of local steps behind an upload.
        clients: number of clients behind the upload: more than 1 where only a mean is visible.
        uploads: number of the client's uploads that are attacked together, all of them from its
            first on; None if the attacker lacks earlier ones.
        gradient_rms: root mean square of a gradient's coordinates before the defense. The server
            starts from public examples; the default is for the paper's LeNet on small pictures. It
            is used to compare uncertainties, so an error by a factor of three is harmless.
        coordinates: number of a gradient's coordinates; by default that of the paper's LeNet.
    """

    public: Tensor | None = None
    public_labels: Tensor | None = None
    model: nn.Module | None = None
    upload: Literal["gradient", "update"] = "gradient"
    unit: float = 1.0
    batch_size: int = 1
    local_steps: int = 1
    clients: int = 1
    uploads: int | None = None
    gradient_rms: float = 0.03
    coordinates: int = 15_000

    @property
    def gradient_norm(self) -> float:
        """Norm of a gradient before the defense."""
        return self.gradient_rms * math.sqrt(self.coordinates)


@dataclass(frozen=True)
class Answer:
    """Effect of a defense on a gradient, and the remaining uncertainty.

    `fedsim.attacks.adaptive.compose` makes one attack of the answers to all defenses of a client.

    Attributes:
        wrappers: effects of the defense on a gradient, or the coordinates that it spoils, in order:
            each is nested around all later ones.
        per_example: effects of the defense on the gradient of each example in each step, before
            their mean is taken, in order.
        per_upload: the effects of the defense on the whole upload, in order, for the sum of several
            uploads, where ``wrappers`` do not apply. Exact given the gradient of a client.
        per_client: of an answer to a sum, the effects on the upload of each client.
        likelihood: objective that compares a dummy gradient with an upload whose uncertainty is
            ``spread``; None if the defense leaves no uncertainty.
        spread: root mean square of the difference between the gradient, after the wrappers, and
            the upload, in units of the gradient. Of several likelihoods the one with the
            largest spread is used.
        image_noise_std: noise level of the gradient for which image priors replace the attack's
            own, if the likelihood is used; None to keep the attack's priors.
        hides_zeros: whether zeros of an earlier defense become values of the size of ``spread``, as
            after noise.
        reads_levels: whether the likelihood reads levels off the upload, which later noise would
            hide.
        gain: factor by which the defense scales a typical gradient and earlier noise. It keeps
            uncertainties comparable along a chain.
        mixed_labels: whether the client trains on mixed labels, which the attack then optimises as
            probabilities, whatever its own label rule.
        undo: the step from the pictures that were trained on to the private ones, or None if the
            client trains on the private ones.
        scales: whether the defense scales the whole gradient by a factor that the attacker does not
            know, as clipping does.
        draws: whether the model draws at random, and the draws are unknowns that are optimised
            together with the data.
        approximate: whether the equations hold only approximately, even with the uncertainty of the
            likelihood. A failure of such an attacker is not evidence for the defense.
    """

    wrappers: tuple[Wrapper, ...] = ()
    per_example: tuple[Change, ...] = ()
    per_upload: tuple[Change, ...] = ()
    per_client: tuple[tuple[Change, ...], ...] = ()
    likelihood: Objective | None = None
    spread: float | None = None
    image_noise_std: float | None = None
    hides_zeros: bool = False
    reads_levels: bool = False
    gain: float = 1.0
    mixed_labels: bool = False
    undo: Undo | None = None
    scales: bool = False
    draws: bool = False
    approximate: bool = False

    def __post_init__(self) -> None:
        if self.likelihood is not None and not (self.spread is not None and self.spread > 0):
            raise AttackError(
                f"answer with the likelihood {self.likelihood}: expected a spread > 0, found "
                f"{self.spread}; give the root mean square of the uncertainty in units of the "
                "gradient, so that it can be compared with that of other defenses"
            )
