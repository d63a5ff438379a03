"""Public pictures, and Gaussian densities of their classes."""

from __future__ import annotations

import functools
import hashlib
from typing import NamedTuple

import torch
from torch import Tensor

from fedsim.attacks.adaptive.answer import Known

MOST_NUMBERS = 4096
"""Maximum size of a picture: a covariance has the square of it."""

FEWEST = 5
"""Minimum number of public pictures of a class; below it the class counts as unknown."""

# From separations of mixtures of 100 public clothes with densities learned from the 400 others.
OWN_SHARE = 0.5
RESIDUAL_VARIANCE = 1e-2


class Gaussian(NamedTuple):
    """Density of the pictures of one class.

    Attributes:
        mean: ``(n,)``.
        covariance: ``(n, n)``.
    """

    mean: Tensor
    covariance: Tensor


class PublicPictures:
    """Public pictures with their classes, equal to others with the same content.

    Args:
        images: ``(N, C, H, W)`` in [0, 1].
        labels: classes ``(N,)``, or None if they are unknown.
    """

    def __init__(self, images: Tensor, labels: Tensor | None) -> None:
        self.images = images.detach().to("cpu", torch.float32)
        unknown = torch.full((len(images),), -1)
        self.labels = unknown if labels is None else labels.detach().to("cpu", torch.int64)
        digest = hashlib.blake2b(repr(self.images.shape).encode())
        for tensor in (self.images, self.labels):
            digest.update(tensor.contiguous().numpy().tobytes())
        self._digest = digest.digest()

    @classmethod
    def of(cls, known: Known) -> PublicPictures | None:
        """Return the attacker's public pictures, or None if they are too few or too large."""
        images = known.public
        if images is None or len(images) < FEWEST or images[0].numel() > MOST_NUMBERS:
            return None
        return cls(images, known.public_labels)

    def __hash__(self) -> int:
        return hash(self._digest)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PublicPictures) and self._digest == other._digest

    def of_class(self, label: int) -> Tensor:
        """Return the pictures of a class ``(M, C, H, W)``; all of them if they are too few."""
        chosen = self.labels == label
        return self.images[chosen] if int(chosen.sum()) >= FEWEST else self.images

    def gaussian(self, label: int) -> Gaussian:
        """Return the density of a class; that of all pictures if too few are of the class."""
        return _gaussian(self, label)


@functools.lru_cache(maxsize=16)
def _gaussian(public: PublicPictures, label: int) -> Gaussian:
    """Return the mean of a class, and its covariance, shrunk to that within all classes."""
    own = public.of_class(label).flatten(1)
    mean, covariance = own.mean(0), _covariance(own)
    if len(own) < len(public.images):
        covariance = OWN_SHARE * covariance + (1 - OWN_SHARE) * _within_classes(public)
    return Gaussian(mean, covariance + RESIDUAL_VARIANCE * torch.eye(len(mean)))


@functools.lru_cache(maxsize=2)
def _within_classes(public: PublicPictures) -> Tensor:
    """Return the covariance of pictures about the means of their classes."""
    centred = public.images.flatten(1).clone()
    for label in set(public.labels.tolist()):
        centred[public.labels == label] -= centred[public.labels == label].mean(0)
    return centred.T @ centred / len(centred)


def _covariance(flat: Tensor) -> Tensor:
    centred = flat - flat.mean(0)
    return centred.T @ centred / len(flat)
