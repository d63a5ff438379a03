"""Countermeasure to the transformation search: the policy is found and undone."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from typing_extensions import override

from fedsim.attacks.adaptive.answer import Answer, Known
from fedsim.attacks.adaptive.base import Countermeasure
from fedsim.attacks.adaptive.public import PublicPictures
from fedsim.attacks.matching.undo import Trained, Undo
from fedsim.core.registry import COUNTERMEASURES
from fedsim.core.transformations import POLICY_LENGTH, Transformation, library

Policy = tuple[Transformation, ...]

# From 8 public clothes, each transformed by a random policy.
MOST_PUBLIC = 40
"""Number of public pictures of a class that are transformed by each policy."""
RESIDUAL_VARIANCE = 1e-2
LIKELIEST = 8
ERROR_STD = 0.05
ITERATIONS = 40

LEAST_WEIGHT = 1e-2
"""Policies with a smaller share of the probability are not undone."""


@dataclass(frozen=True)
class UndoPolicy(Undo):
    """Search for the policy, and inverse of the likeliest ones.

    Under each policy, the transformed public pictures of a class have a Gaussian density, which
    gives the policy's likelihood. For the likeliest policies the private picture minimises the
    squared distance of its transformation, plus minus the logarithm of the density of its class.
    The result is the mean over these policies, weighted by their likelihood.

    Attributes:
        shared: whether all pictures were transformed by one policy.
        public: public pictures to learn the densities from.
    """

    shared: bool
    public: PublicPictures

    @override
    def __call__(self, trained: Trained) -> Trained:
        pictures, labels = trained.pictures.float(), trained.targets.argmax(-1).tolist()
        each = zip(pictures, labels, strict=True)
        likelihoods = torch.stack([self._log_likelihoods(x, label) for x, label in each])
        if self.shared:
            likelihoods = likelihoods.sum(0, keepdim=True).expand_as(likelihoods)
        found = [
            self._undone(picture, label, likelihood)
            for picture, label, likelihood in zip(pictures, labels, likelihoods, strict=True)
        ]
        return trained._replace(pictures=torch.stack(found).to(trained.pictures))

    def _log_likelihoods(self, picture: Tensor, label: int) -> Tensor:
        """Return the log-likelihood of each policy up to a constant, in their order."""
        public = self.public.of_class(label)
        public = public[torch.linspace(0, len(public) - 1, min(len(public), MOST_PUBLIC)).long()]
        transformations = _differentiable()
        first: Tensor = torch.stack([_apply([t], public) for t in transformations])
        found = []
        for once in first:
            twice = torch.cat([_apply([t], once) for t in transformations])
            thrice = [_apply([t], twice).view(-1, *public.shape) for t in transformations]
            likelihoods = [_log_density(picture.flatten(), x.flatten(2)) for x in thrice]
            found.append(torch.stack(likelihoods, dim=1).flatten())
        return torch.cat(found)

    def _undone(self, picture: Tensor, label: int, log_likelihoods: Tensor) -> Tensor:
        """Return the mean of the inverses of the likeliest policies, ``(C, H, W)``."""
        values, numbers = log_likelihoods.topk(LIKELIEST)
        weights = values.softmax(0)
        kept = weights >= LEAST_WEIGHT
        policies = list(itertools.product(_differentiable(), repeat=POLICY_LENGTH))
        inverses = torch.stack(
            [self._inverse(picture, label, policies[n]) for n in numbers[kept].tolist()]
        )
        kept_weights = weights[kept] / weights[kept].sum()
        mean: Tensor = torch.einsum("k,kchw->chw", kept_weights, inverses)
        return mean

    def _inverse(self, picture: Tensor, label: int, policy: Policy) -> Tensor:
        """Return the likeliest picture ``(C, H, W)`` of a class that a policy turns into this."""
        mean, covariance = self.public.gaussian(label)
        root = torch.linalg.cholesky(covariance)
        whitened = torch.zeros_like(mean, requires_grad=True)
        optimiser = torch.optim.LBFGS(
            [whitened], max_iter=ITERATIONS, history_size=20, line_search_fn="strong_wolfe"
        )

        def private() -> Tensor:
            flat: Tensor = (mean + root @ whitened).clamp(0, 1)
            return flat.view(1, *picture.shape)

        def closure() -> Tensor:
            optimiser.zero_grad()
            residual = _apply(policy, private())[0] - picture
            cost = residual.square().sum() / (2 * ERROR_STD**2) + whitened.square().sum() / 2
            torch.autograd.backward(cost, inputs=[whitened])
            return cost

        with torch.enable_grad():
            optimiser.step(closure)  # type: ignore[no-untyped-call]
        return private()[0].detach()


def _apply(policy: Sequence[Transformation], images: Tensor) -> Tensor:
    """Return transformed images ``(N, C, H, W)`` in [0, 1]."""
    for transformation in policy:
        images = transformation(images).clamp(0, 1)
    return images


@functools.cache
def _differentiable() -> tuple[Transformation, ...]:
    """Return the transformations, with the identity's derivative for steps."""

    def posterise(images: Tensor) -> Tensor:
        return images + (known["posterise"](images) - images).detach()

    known = library()
    return tuple(posterise if name == "posterise" else t for name, t in known.items())


def _log_density(picture: Tensor, samples: Tensor) -> Tensor:
    """Return the log-density of a picture under Gaussians fitted to samples, up to a constant.

    Args:
        picture: ``(n,)``.
        samples: pictures of each density, ``(K, M, n)``.

    Returns:
        ``(K,)``.
    """
    count, size = samples.shape[1:]
    mean = samples.mean(1, keepdim=True)
    centred = (samples - mean) / math.sqrt(count)
    residual = picture - mean[:, 0]
    small = centred @ centred.mT + RESIDUAL_VARIANCE * torch.eye(count)
    root = torch.linalg.cholesky(small)
    inside = torch.linalg.solve_triangular(root, centred @ residual[:, :, None], upper=False)
    distance = (residual.square().sum(1) - inside.square().sum((1, 2))) / RESIDUAL_VARIANCE
    logarithm = 2 * root.diagonal(dim1=1, dim2=2).log().sum(1)
    logarithm = logarithm + (size - count) * math.log(RESIDUAL_VARIANCE)
    density: Tensor = -(distance + logarithm) / 2
    return density


@COUNTERMEASURES.register("transform-search")
class FindPolicy(Countermeasure):
    """Match the gradient of the transformed picture, find the policy, and undo it.

    Balunović et al., Bayesian Framework for Gradient Leakage, ICLR 2022 (arXiv 2111.04706), find
    the transformed picture by gradient matching early in the training. This attacker goes on from
    there. All 4,096 policies are public, and most of them explain the gradient with some picture,
    so it chooses by the densities of public pictures of the same class. It does not use that
    clients choose the policy of the lowest score among a few. It needs public pictures, of up to
    4,096 numbers each; without them the transformed picture remains. Pixels that a policy moves out
    of the frame or saturates are guessed by the density.
    """

    def answer(self, known: Known) -> Answer:
        """Return the inverse of the policy, which is common to the pictures of a step."""
        public = PublicPictures.of(known)
        return Answer(undo=None if public is None else UndoPolicy(known.local_steps == 1, public))
