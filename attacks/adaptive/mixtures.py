"""Countermeasures to mixtures of pictures: mixup and InstaHide."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor
from typing_extensions import override

from fedsim.attacks.adaptive.answer import Answer, Known
from fedsim.attacks.adaptive.base import Countermeasure
from fedsim.attacks.adaptive.public import PublicPictures
from fedsim.attacks.matching.undo import Trained, Undo
from fedsim.core.registry import COUNTERMEASURES

LEAST_SHARE = 0.02
"""Smaller shares are errors of the optimised labels, or say nothing about their pictures."""

NOISE_VARIANCE = 1e-4
"""Assumed error of the pictures that a search finds, in the unit box."""

# From 30 mixtures of public clothes.
SIGN_ERROR_VARIANCE = 1e-2
SWEEPS = 4
SPACING = 3


@dataclass(frozen=True)
class Unmix(Undo):
    """Separation of each mixture into its pictures, by the densities of their classes.

    The labels of a mixture tell its classes and their shares. With Gaussian densities of the
    classes the expectation of each picture is a linear function of the mixture (a Wiener filter).
    Pictures of the same class in a mixture are not told apart: one picture stands for all.

    Attributes:
        images: number of pictures in a mixture.
        signs: whether the sign of each pixel about mid-grey is random.
        public: public pictures to learn the densities from.
    """

    images: int
    signs: bool
    public: PublicPictures

    @override
    def __call__(self, trained: Trained) -> Trained:
        found: list[Trained] = []
        for picture, target, source in zip(*trained, strict=True):
            shares, classes = target.topk(min(self.images, len(target)))
            shares, classes = (x[shares >= LEAST_SHARE] for x in (shares, classes))
            parts = self._separated(picture, shares / shares.sum(), classes.tolist())
            one_hot = torch.eye(len(target)).to(target)[classes]
            found.append(Trained(parts, one_hot, source.expand(len(parts))))
        return Trained(*(torch.cat(column) for column in zip(*found, strict=True)))

    def _separated(self, picture: Tensor, shares: Tensor, classes: list[int]) -> Tensor:
        """Return the expectation of each picture in a mixture, ``(parts, C, H, W)``."""
        densities = [self.public.gaussian(label) for label in classes]
        means = torch.stack([d.mean for d in densities]).double()
        covariances = torch.stack([d.covariance for d in densities]).double()
        weights = shares.double().to(means.device)
        mean = weights @ means
        covariance = torch.einsum("k,kij->ij", weights**2, covariances)
        eye = torch.eye(len(mean)).to(covariance)
        mixture, variance = picture.flatten().to(mean), NOISE_VARIANCE
        if self.signs:
            precision = torch.linalg.inv(covariance + NOISE_VARIANCE * eye)
            mixture = _unsigned(mixture, mean, precision, picture.shape)
            variance = SIGN_ERROR_VARIANCE
        residual = torch.linalg.solve(covariance + variance * eye, mixture - mean)
        parts = means + weights[:, None] * (covariances @ residual)
        found: Tensor = parts.clamp(0, 1).view(-1, *picture.shape).to(picture)
        return found


def _unsigned(signed: Tensor, mean: Tensor, precision: Tensor, shape: torch.Size) -> Tensor:
    """Return a mixture ``(n,)`` with the signs of its pixels chosen by its density.

    Absolute values hide a sign for each pixel. Each pixel gets the sign that is closer to its mean,
    then repeatedly the one that is closer to its expectation given the others (iterated conditional
    modes), in blocks without neighbours.

    Args:
        signed: pixels ``(n,)`` in the unit box.
        mean: mean of the mixture's density, ``(n,)``.
        precision: its inverse covariance, ``(n, n)``.
        shape: shape of the picture, ``(C, H, W)``.
    """

    def nearest(expected: Tensor) -> Tensor:
        other = 1 - signed
        return torch.where((signed - expected).abs() <= (other - expected).abs(), signed, other)

    rows, columns = (torch.arange(size) % SPACING for size in shape[-2:])
    block = (SPACING * rows[:, None] + columns).expand(shape).flatten()
    found = nearest(mean)
    for _ in range(SWEEPS):
        for number in range(SPACING**2):
            pull = precision @ (found - mean) / precision.diagonal()
            found = torch.where(block == number, nearest(found - pull), found)
    return found


def _answer(known: Known, images: int, *, signs: bool) -> Answer:
    public = PublicPictures.of(known)
    undo = None if public is None else Unmix(images, signs, public)
    return Answer(mixed_labels=True, undo=undo)


@COUNTERMEASURES.register("mixup")
class Unmixup(Countermeasure):
    """Match the gradient of a mixture with mixed labels, and separate its pictures.

    The search takes labels as probabilities, so that its equations are those of the upload, and
    ends at the mixture. With up to 4,096 numbers in a picture and public pictures, `Unmix` then
    separates it: similar to the separation of InstaHide's mixtures by Carlini et al., Is Private
    Learning Possible with Instance Encoding?, IEEE S&P 2021 (arXiv 2011.05315), which combines many
    mixtures of the same picture (see `encodings`), while this one uses single mixtures. The
    attacker knows that two pictures are mixed, but neither which nor their shares. Both are
    returned, since both are private. A picture with a small share remains hidden, as do two
    pictures of one class.
    """

    def answer(self, known: Known) -> Answer:
        """Return the separation of two pictures."""
        return _answer(known, 2, signs=False)


@COUNTERMEASURES.register("instahide")
class UnmixSigned(Countermeasure):
    """Match the gradient of an encoding with mixed labels, remove its signs, and separate it.

    Source: Carlini et al., Is Private Learning Possible with Instance Encoding?, IEEE S&P 2021
    (arXiv 2011.05315): absolute values remove the random signs. The paper then finds the encodings
    of each private picture by a neural network, and solves for the pictures from dozens of
    encodings of each, as `encodings` does. Here each encoding is solved alone, by the densities of
    its classes, learned from public pictures of up to 4,096 numbers; these also give back the
    signs. The attacker knows the number of mixed pictures, but neither which nor their shares. From
    one encoding a picture is found little better than the mean of its class; without public
    pictures the encoding remains.
    """

    images: Annotated[int, Field(ge=2, description="number of images in a mixture")]

    def answer(self, known: Known) -> Answer:
        """Return the separation of all pictures of an encoding."""
        return _answer(known, self.images, signs=True)
