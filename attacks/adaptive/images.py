"""Image priors for attackers of uncertain gradients."""

from dataclasses import replace

from torch import Tensor

from fedsim.attacks.matching.attack import GradientMatching
from fedsim.attacks.matching.priors import Learned, Prior, TotalVariation

FEWEST_IMAGES = 50
"""Minimum number of public images for a learned prior."""

# From simulated attacks on 8 public images of the embedded Fashion-MNIST (the prior learned from
# the other 492; the paper's LeNet; Gaussian noise of 1e-2 and 1e-1), never on private ones.
TOTAL_VARIATION = 4.0
SMOOTHING = 0.03


def image_priors(noise_std: float, public: Tensor | None) -> tuple[Prior, ...]:
    """Return image priors for an attacker of gradients with noise.

    Total variation, or, with public images, its geometric mean with the density learned from them.

    Args:
        noise_std: standard deviation of the noise on a coordinate of the gradient.
        public: public images ``(N, C, H, W)`` in [0, 1], or None.
    """
    if public is None or len(public) < FEWEST_IMAGES:
        return (TotalVariation(TOTAL_VARIATION, "sum", SMOOTHING),)
    # More noise leaves more uncertainty about the image, which needs a coarser prior.
    image_noise_std = min(max(0.5 * noise_std**0.5, 0.02), 0.3)
    return (
        TotalVariation(TOTAL_VARIATION / 2, "sum", SMOOTHING),
        Learned.from_images(public, noise_std=image_noise_std),
    )


def with_image_priors(
    attack: GradientMatching, noise_std: float, public: Tensor | None
) -> GradientMatching:
    """Return the attack with `image_priors` instead of its own priors of the same types.

    Args:
        attack: any attack.
        noise_std: standard deviation of the noise on a coordinate of the gradient.
        public: public images ``(N, C, H, W)`` in [0, 1], or None.
    """
    others = tuple(p for p in attack.priors if not isinstance(p, Learned | TotalVariation))
    return replace(attack, priors=(*others, *image_priors(noise_std, public)))
