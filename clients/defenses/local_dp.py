"""Local differential privacy of a client's whole upload."""

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

    The Gaussian mechanism of Dwork and Roth, The Algorithmic Foundations of Differential Privacy,
    2014, appendix A, applied to the client's contribution, clipped as in Abadi et al., CCS 2016
    (arXiv 1607.00133), before it leaves the client, as in Wei et al., Federated Learning with
    Differential Privacy (arXiv 1911.00222), algorithm 1. Each coordinate gets noise of standard
    deviation noise_multiplier * norm. Neighbouring data sets are any two of the client (replace-one
    for all of its data), as local differential privacy requires: the sensitivity is twice the norm.
    """

    norm: Annotated[
        float,
        Field(gt=0, le=_LARGEST, examples=[1.0], description="largest L2 norm of the whole upload"),
    ]
    noise_multiplier: Annotated[
        float,
        Field(
            gt=0,
            le=_LARGEST,
            examples=[0.003],
            description="standard deviation of the noise, in units of norm",
        ),
    ]
    delta: Annotated[
        float,
        Field(
            gt=0,
            lt=1,
            examples=[1e-6],
            description="delta of the (epsilon, delta) that is reported",
        ),
    ] = 1e-5

    def protect_upload(self, upload: Mapping[str, Tensor], generator: torch.Generator) -> Protected:
        """Clip and add the noise; reports ``norm_before``, ``clipped_share`` and ``noise_std``.

        ``noise_std`` is the root mean square of the added noise; see `Clipping` for the others. The
        reports are not private: they depend on the data, or on the noise.
        """
        clipped = clip(upload, self.norm)
        noisy = add_gaussian_noise(clipped.tensors, self.noise_multiplier * self.norm, generator)
        return replace(noisy, did={**clipped.did, **noisy.did})

    def mechanism(self) -> Mechanism:
        """Return the differential privacy of each upload."""
        return Mechanism(self.noise_multiplier, self.delta, "client", self.norm)
