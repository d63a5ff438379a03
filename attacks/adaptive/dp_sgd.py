"""Countermeasure to DP-SGD: clipped gradients of single examples with noise."""

from dataclasses import replace
from typing import Annotated

from pydantic import Field

from fedsim.attacks.adaptive.answer import Answer, Known
from fedsim.attacks.adaptive.base import Countermeasure
from fedsim.attacks.adaptive.clipping import clipped
from fedsim.attacks.adaptive.noise import gaussian_noise
from fedsim.attacks.matching.processing import Clip
from fedsim.core.registry import COUNTERMEASURES


@COUNTERMEASURES.register("dp-sgd")
class ExpectClippedExamples(Countermeasure):
    """Clip the gradient of each dummy as the client does, and weigh the residual as noise.

    Without noise the equations are exact, for batches and local steps too. With noise they are
    exact for one step; in later steps the client computes at weights that the noise has moved.
    """

    norm: Annotated[float, Field(gt=0, description="maximum norm of an example's gradient")]
    noise_multiplier: Annotated[float, Field(ge=0, description="noise in units of the norm")]

    def answer(self, known: Known) -> Answer:
        """Return the clipping and the likelihood of the noise, for any unit.

        The client adds the noise to the sum over the batch in each step, and divides by the number
        of examples; an update holds the mean of the steps' gradients. A single example in a single
        step is compared by `clipped`, which is also exact and guides the search better, but needs
        the upload of one client.
        """
        count = known.batch_size * known.local_steps**0.5
        noise = gaussian_noise(self.noise_multiplier * self.norm / count)
        clipping = clipped(self.norm, known)
        answer = replace(noise, gain=clipping.gain, scales=True)
        if known.batch_size == known.local_steps == known.clients == 1:
            return replace(answer, wrappers=clipping.wrappers)
        return replace(
            answer,
            per_example=(Clip(self.norm),),
            approximate=self.noise_multiplier > 0 and known.local_steps > 1,
        )
