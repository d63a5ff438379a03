"""Differential privacy of the client as a whole, without trust in the server."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from fedsim.clients.defenses.base import Defense, Mechanism, Protected
from fedsim.clients.defenses.clipping import clip
from fedsim.clients.defenses.noise import add_gaussian_noise
from fedsim.core.registry import DEFENSES

_LARGEST = 1e6


@DEFENSES.register("local-dp")
class LocalDP(Defense):
    """Clip the whole upload, then add Gaussian noise in proportion to the bound.

    The Gaussian mechanism of Dwork and Roth, The Algorithmic Foundations of Differential
    Privacy, 2014, appendix A, on the client's contribution clipped as in Abadi et al., CCS 2016
    (arXiv 1607.00133), and before it leaves the client as in Wei et al., Federated Learning with
    Differential Privacy (arXiv 1911.00222), algorithm 1. Each coordinate gets noise of standard
    deviation noise_multiplier * norm. Neighbours differ by a contribution in place of none (zeros),
    so the sensitivity is norm; for one contribution in place of another it is twice that, and the
    noise multiplier counts half.
    """

    norm: Annotated[
        float, Field(gt=0, le=_LARGEST, description="largest L2 norm of the whole upload")
    ]
    noise_multiplier: Annotated[
        float,
        Field(gt=0, le=_LARGEST, description="standard deviation of the noise, in units of norm"),
    ]
    delta: Annotated[
        float, Field(gt=0, lt=1, description="delta of the (epsilon, delta) that is reported")
    ] = 1e-5

    def protect_upload(self, upload: Mapping[str, Tensor], generator: torch.Generator) -> Protected:
        """Clip and add the noise; reports what both did.

        ``norm_before`` and ``clipped_share`` are as in `Clipping`, ``noise_std`` is the root mean
        square of what was added. None of them is private: they tell of the data, or of the noise.
        """
        clipped = clip(upload, self.norm)
        noisy = add_gaussian_noise(clipped.tensors, self.noise_multiplier * self.norm, generator)
        return replace(noisy, did={**clipped.did, **noisy.did})

    def mechanism(self) -> Mechanism:
        """Return the differential privacy of each upload."""
        return Mechanism(self.noise_multiplier, self.delta, unit="client")
