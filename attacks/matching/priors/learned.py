"""A prior learned from public images."""

from __future__ import annotations

import copy
import functools
import hashlib
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.func import functional_call

from fedsim.attacks.matching.priors.base import Prior
from fedsim.attacks.matching.priors.denoiser import Denoiser, train_denoiser
from fedsim.core.errors import AttackError
from fedsim.core.seeds import derive

MAX_IMAGES = 1000
"""Maximum number of public images that are used."""

LEAST_ENERGY = 1e-6
"""Lower bound of the mean energy, which is zero for identical images; the cost divides by it."""


@dataclass(frozen=True)
class Learned(Prior):
    """A prior learned from public images by a small denoiser.

    ``weight * k * log(1 + E / k)``, summed over the examples, with the denoiser's energy E
    (`fedsim.attacks.matching.priors.denoiser`) and its mean over the public images k. For similar
    data this is about half of the energy, which is minus the logarithm of a density; for very
    different data it grows slowly, like Student's t, so that unsuitable public images do little
    harm to the attack.

    Args:
        denoiser: a trained denoiser.
        noise_std: standard deviation of the noise at which the energy is computed.
        typical: mean energy of the public images at this noise.
        weight: factor of the cost.
    """

    denoiser: Denoiser
    noise_std: float
    typical: float
    weight: float = 1.0

    @classmethod
    def from_images(
        cls, images: Tensor, *, noise_std: float, weight: float = 1.0, seed: int = 0
    ) -> Learned:
        """Return the prior of public images; trains once per process, in seconds.

        Args:
            images: public images ``(N, C, H, W)`` in [0, 1], hundreds of them, preferably on
                the device of the attack.
            noise_std: noise level of the energy, in [0.02, 0.3]: about the noise in the
                attack's result without a prior. Too much loses detail; with too little the search
                gets stuck.
            weight: factor of the cost.
            seed: seed of the training.

        Raises:
            AttackError: there are fewer than two images, or they have a wrong shape.
        """
        if images.ndim != 4 or len(images) < 2:
            raise AttackError(
                f"public images have shape {tuple(images.shape)}: expected (N, C, H, W), "
                "at least two"
            )
        return _learned(_Images(images, seed), images.device, noise_std, weight, seed)

    def __call__(self, data: Tensor) -> Tensor:
        """Return the cost, a scalar >= 0.

        Raises:
            AttackError: the shapes of the data and of the public images differ.
        """
        if data.shape[1:] != self.denoiser.shape:
            raise AttackError(
                f"examples have shape {tuple(data.shape[1:])}, but the prior was learned from "
                f"public images of shape {tuple(self.denoiser.shape)}: expected the same"
            )
        state = {k: v.to(data) for k, v in self.denoiser.state_dict().items()}
        level = torch.full_like(data[:, 0, 0, 0], self.noise_std)
        energy: Tensor = functional_call(self.denoiser, state, (data, level))
        return self.weight * self.typical * torch.log1p(energy / self.typical).sum()


class _Images:
    """Public images as the key of a cache."""

    def __init__(self, images: Tensor, seed: int) -> None:
        generator = torch.Generator().manual_seed(derive(seed, "public images"))
        chosen = torch.randperm(len(images), generator=generator)[:MAX_IMAGES]
        self.images = images[chosen.to(images.device)].detach().to("cpu", torch.float32)
        content = repr(self.images.shape).encode() + self.images.contiguous().numpy().tobytes()
        self._digest = hashlib.blake2b(content).digest()

    def __hash__(self) -> int:
        return hash(self._digest)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Images) and self._digest == other._digest


trained_by: ContextVar[Callable[..., Denoiser]] = ContextVar("trained_by")
"""Calls a function with arguments in another place, where a training of seconds holds up no other
thread; by default the thread that needs the denoiser trains it."""


@functools.lru_cache(maxsize=4)
def _denoiser(key: _Images, device: torch.device, seed: int) -> Denoiser:
    if device.type == "cpu":
        train = trained_by.get(None)
        arguments = key.images, seed
        return train(train_denoiser, *arguments) if train else train_denoiser(*arguments)
    return copy.deepcopy(_denoiser(key, torch.device("cpu"), seed)).to(device)


@functools.lru_cache(maxsize=32)
def _learned(
    key: _Images, device: torch.device, noise_std: float, weight: float, seed: int
) -> Learned:
    denoiser = _denoiser(key, device, seed)
    images = key.images.to(device)
    with torch.no_grad():
        energy = denoiser(images, images.new_full((len(images),), noise_std))
    return Learned(denoiser, noise_std, max(float(energy.mean()), LEAST_ENERGY), weight)
