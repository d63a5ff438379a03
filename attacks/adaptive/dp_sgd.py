"""Countermeasure to DP-SGD: clipped gradients of single examples with noise."""

from dataclasses import replace
from typing import Annotated

from pydantic import Field

from fedsim.attacks.adaptive.answer import Answer, Known
from fedsim.attacks.adaptive.base import Countermeasure
from fedsim.attacks.adaptive.clipping import clipped
from fedsim.attacks.adaptive.noise import gaussian_noise
from fedsim.core.registry import COUNTERMEASURES


@COUNTERMEASURES.register("dp-sgd")
class ExpectClippedExamples(Countermeasure):
    """Clip the dummy gradient as the client does, and weigh the residual as noise.

    Exact for single examples in a single step. In a batch each example is clipped by its own
    factor, while this attacker clips their mean.
    """

    norm: Annotated[float, Field(gt=0, description="maximum norm of an example's gradient")]
    noise_multiplier: Annotated[float, Field(ge=0, description="noise in units of the norm")]

    def answer(self, known: Known) -> Answer:
        """Return the clipping and the likelihood of the noise, for any unit.

        The client adds the noise to the sum over the batch in each step, and divides by the number
        of examples; an update holds the mean of the steps' gradients.
        """
        count = known.batch_size * known.local_steps**0.5
        noise = gaussian_noise(self.noise_multiplier * self.norm / count)
        clipping = clipped(self.norm, known)
        return replace(noise, wrappers=clipping.wrappers, gain=clipping.gain)
