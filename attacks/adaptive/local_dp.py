"""Countermeasure to local DP: clipping followed by noise."""

from dataclasses import replace
from typing import Annotated

from pydantic import Field

from fedsim.attacks.adaptive.answer import Answer, Known
from fedsim.attacks.adaptive.base import Countermeasure
from fedsim.attacks.adaptive.clipping import clipped
from fedsim.attacks.adaptive.noise import gaussian_noise
from fedsim.core.registry import COUNTERMEASURES


@COUNTERMEASURES.register("local-dp")
class ExpectClippingAndNoise(Countermeasure):
    """Clip the dummy gradient too, and use the noise's likelihood."""

    norm: Annotated[float, Field(gt=0, description="maximum norm of the upload")]
    noise_multiplier: Annotated[float, Field(ge=0, description="noise in units of the norm")]

    def answer(self, known: Known) -> Answer:
        """Return the clipping and the likelihood of the noise.

        The noise is in the unit of the clipped upload, to which the dummy is clipped before they
        are compared, so the original norm need not be guessed.
        """
        norm = known.unit * self.norm
        noise = gaussian_noise(self.noise_multiplier * norm)
        clipping = clipped(norm, known)
        return replace(
            noise,
            wrappers=clipping.wrappers,
            per_upload=clipping.per_upload,
            gain=clipping.gain,
            scales=True,
        )
