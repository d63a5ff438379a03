"""Against additive noise."""

from collections.abc import Mapping
from dataclasses import replace

from torch import Tensor

from fedsim.attacks.adaptive.base import Countermeasure, number
from fedsim.attacks.adaptive.objectives import SignMatch
from fedsim.attacks.matching.attack import GradientMatching
from fedsim.attacks.matching.objectives import (
    GaussianLikelihood,
    LaplacianLikelihood,
    Objective,
    SharedLayersDistance,
    SurvivingDistance,
    Wrapper,
    innermost,
    with_innermost,
)
from fedsim.attacks.matching.priors import Learned, Prior, TotalVariation
from fedsim.core.registry import COUNTERMEASURES

FEWEST_IMAGES = 50
"""From fewer public images nothing is learned."""

# By simulated attacks on 8 public images of the embedded Fashion-MNIST (the prior learned from
# the other 492; the paper's LeNet; Gaussian noise of 1e-2 and 1e-1), never on private ones.
TOTAL_VARIATION = 4.0
SMOOTHING = 0.03


@COUNTERMEASURES.register("gaussian-noise")
class ExpectGaussianNoise(Countermeasure):
    """Weigh the mismatch by the noise's likelihood against what images look like."""

    def adapt(
        self,
        attack: GradientMatching,
        parameters: Mapping[str, object],
        public: Tensor | None = None,
        unit: float = 1.0,
    ) -> GradientMatching:
        """Return the attack that looks for the most probable image; as it was without noise."""
        std = unit * number(parameters, "std")
        return _most_probable(attack, GaussianLikelihood(std), public) if std else attack


@COUNTERMEASURES.register("laplacian-noise")
class ExpectLaplacianNoise(Countermeasure):
    """Weigh the mismatch by the noise's likelihood against what images look like."""

    def adapt(
        self,
        attack: GradientMatching,
        parameters: Mapping[str, object],
        public: Tensor | None = None,
        unit: float = 1.0,
    ) -> GradientMatching:
        """Return the attack that looks for the most probable image; as it was without noise."""
        scale = unit * number(parameters, "scale")
        return _most_probable(attack, LaplacianLikelihood(scale), public) if scale else attack


def image_priors(noise_std: float, public: Tensor | None) -> tuple[Prior, ...]:
    """Return what images look like, for an attacker of gradients with such noise.

    Total variation as such, or, with public images, its geometric mean with the density that is
    learned from them.

    Args:
        noise_std: standard deviation of the noise on a coordinate of the gradient.
        public: images ``(N, C, H, W)`` in [0, 1], if there are any.
    """
    if public is None or len(public) < FEWEST_IMAGES:
        return (TotalVariation(TOTAL_VARIATION, "sum", SMOOTHING),)
    # The more noise, the less the image is known, and the coarser a view of it leads to it.
    image_noise_std = min(max(0.5 * noise_std**0.5, 0.02), 0.3)
    return (
        TotalVariation(TOTAL_VARIATION / 2, "sum", SMOOTHING),
        Learned.from_images(public, noise_std=image_noise_std),
    )


def with_image_priors(
    attack: GradientMatching, noise_std: float, public: Tensor | None
) -> GradientMatching:
    """Return the attack with `image_priors` in place of those of their kinds that it has."""
    others = tuple(p for p in attack.priors if not isinstance(p, Learned | TotalVariation))
    return replace(attack, priors=(*others, *image_priors(noise_std, public)))


def _most_probable(
    attack: GradientMatching,
    likelihood: GaussianLikelihood | LaplacianLikelihood,
    public: Tensor | None,
    *,
    last: bool = True,
) -> GradientMatching:
    """Return the attack with a posterior for its objective: likelihood times prior.

    Of two noises the likelihood is that of the larger one, which drowns the other. Signs of one
    size are still there below noise that is added to them.
    """
    present = innermost(attack.objective)
    if isinstance(present, SignMatch):
        return attack
    known = present.std if isinstance(present, GaussianLikelihood | LaplacianLikelihood) else 0.0
    if known >= likelihood.std:
        return attack
    objective = _above_noise(with_innermost(attack.objective, likelihood), likelihood.std)
    return with_image_priors(replace(attack, objective=objective), likelihood.std, public)


def _above_noise(objective: Objective, noise_std: float) -> Objective:
    """Return the objective with what noise alone explains taken for removed before it."""
    if not isinstance(objective, Wrapper):
        return objective
    inner = replace(objective, base=_above_noise(objective.base, noise_std))
    if isinstance(inner, SurvivingDistance):
        return replace(inner, floor=3 * noise_std)
    if isinstance(inner, SharedLayersDistance):
        return replace(inner, floor=1.5 * noise_std)
    return inner
