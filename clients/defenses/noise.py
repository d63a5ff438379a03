"""Additive noise."""

from collections.abc import Callable, Mapping
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from fedsim.clients.defenses.base import Defense, Protected
from fedsim.clients.defenses.tensors import map_floating, rms_change
from fedsim.clients.defenses.wire import full_bits
from fedsim.core.registry import DEFENSES

_LARGEST = 1e6


@DEFENSES.register("gaussian-noise")
class GaussianNoise(Defense):
    """Add independent Gaussian noise to each coordinate.

    Source: Zhu, Liu and Han, Deep Leakage from Gradients, NeurIPS 2019, section 5. The paper's
    prose speaks of variance; ``std`` is a standard deviation, and a variance v is a ``std`` of
    sqrt(v): 1e-3 here is a variance of 1e-6. Without clipping the upload first, this is not
    differential privacy.
    """

    identity: ClassVar[Mapping[str, object] | None] = {"std": 0.0}

    std: Annotated[
        float,
        Field(
            ge=0,
            le=_LARGEST,
            examples=[0.01],
            description="standard deviation of the noise on a coordinate (variance: std squared)",
        ),
    ]

    @property
    def other_units(self) -> Mapping[str, float]:
        """The variance."""
        return {"variance": self.std**2}

    def protect_upload(self, upload: Mapping[str, Tensor], generator: torch.Generator) -> Protected:
        """Add the noise; reports ``noise_std``, the root mean square of the added noise."""
        return add_gaussian_noise(upload, self.std, generator)


@DEFENSES.register("laplacian-noise")
class LaplacianNoise(Defense):
    """Add independent Laplacian noise to each coordinate.

    The noise has the density exp(-|x| / scale) / (2 scale) and the standard deviation
    scale * sqrt(2), the variance 2 * scale**2. To compare it with Gaussian noise at equal
    standard deviation, ``scale`` is ``std`` / sqrt(2). Source: Zhu, Liu and Han, Deep Leakage
    from Gradients, NeurIPS 2019, section 5.
    """

    identity: ClassVar[Mapping[str, object] | None] = {"scale": 0.0}

    scale: Annotated[
        float,
        Field(
            ge=0,
            le=_LARGEST,
            examples=[0.01],
            description="scale b of the noise on a coordinate; its standard deviation is b*sqrt(2)",
        ),
    ]

    @property
    def other_units(self) -> Mapping[str, float]:
        """The standard deviation and the variance."""
        return {"std": self.scale * 2**0.5, "variance": 2 * self.scale**2}

    def protect_upload(self, upload: Mapping[str, Tensor], generator: torch.Generator) -> Protected:
        """Add the noise; reports ``noise_std``, the root mean square of the added noise."""

        def standard(like: Tensor) -> Tensor:
            # Two exponentials: the inverse of the distribution function would meet log(0).
            first = torch.empty_like(like).exponential_(generator=generator)
            return first - torch.empty_like(like).exponential_(generator=generator)

        return _add_noise(upload, self.scale, standard, generator.device)


def add_gaussian_noise(
    upload: Mapping[str, Tensor], std: float, generator: torch.Generator
) -> Protected:
    """Add noise of a standard deviation to each coordinate; see `GaussianNoise`."""

    def standard(like: Tensor) -> Tensor:
        return torch.empty_like(like).normal_(generator=generator)

    return _add_noise(upload, std, standard, generator.device)


def _add_noise(
    upload: Mapping[str, Tensor],
    strength: float,
    standard: Callable[[Tensor], Tensor],
    device: torch.device,
) -> Protected:
    """Add ``strength`` times the noise that ``standard`` draws in the shape of its argument."""
    if not strength:
        return Protected(dict(upload), did=rms_change("noise_std", upload, upload))

    def noisy(x: Tensor) -> Tensor:
        precise = torch.promote_types(x.dtype, torch.float32)
        noise = standard(torch.empty(x.shape, dtype=precise, device=device)).to(x.device)
        return (x + strength * noise).to(x.dtype)

    tensors = map_floating(upload, noisy)
    return Protected(
        tensors,
        value_bits=full_bits(upload),
        did=rms_change("noise_std", upload, tensors),
    )
