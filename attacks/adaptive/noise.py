"""Countermeasures to additive noise."""

from typing import Annotated

from pydantic import Field

from fedsim.attacks.adaptive.answer import Answer, Known
from fedsim.attacks.adaptive.base import Countermeasure
from fedsim.attacks.matching.objectives import (
    GaussianLikelihood,
    LaplacianLikelihood,
    Objective,
)
from fedsim.core.registry import COUNTERMEASURES


@COUNTERMEASURES.register("gaussian-noise")
class ExpectGaussianNoise(Countermeasure):
    """Use the noise's likelihood together with an image prior."""

    std: Annotated[float, Field(ge=0, description="standard deviation of the noise")]

    def answer(self, known: Known) -> Answer:
        """Return the likelihood of Gaussian noise."""
        return gaussian_noise(known.unit * self.std)


@COUNTERMEASURES.register("laplacian-noise")
class ExpectLaplacianNoise(Countermeasure):
    """Use the noise's likelihood together with an image prior."""

    scale: Annotated[float, Field(ge=0, description="scale b of the noise")]

    def answer(self, known: Known) -> Answer:
        """Return the likelihood of Laplacian noise."""
        if not self.scale:
            return Answer()
        likelihood = LaplacianLikelihood(known.unit * self.scale)
        return _noise(likelihood, likelihood.std)


def gaussian_noise(std: float) -> Answer:
    """Return the answer to Gaussian noise with a standard deviation in gradient units."""
    return _noise(GaussianLikelihood(std), std) if std else Answer()


def _noise(likelihood: Objective, std: float) -> Answer:
    return Answer(likelihood=likelihood, spread=std, image_noise_std=std, hides_zeros=True)
