"""Objectives: distances between a dummy gradient and the shared one.

An objective sees one trial of one victim; the matching loop maps it over all of them. Objectives
are independent of the metrics that judge results (`fedsim.scoring.metrics`).

A `Wrapper` only changes the gradients that are compared, so that wrappers nest: an attacker of
noise followed by pruning minimises ``SurvivingDistance(GaussianLikelihood(0.01))``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Self

import torch
from torch import Tensor
from typing_extensions import override

from fedsim.attacks.matching.calibration import FEWEST, plausible_projection, plausible_sum

Gradient = Mapping[str, Tensor]


class Objective(ABC):
    """A differentiable distance between two gradients of the same parameters.

    Attributes:
        keeps_norm: whether an upload at distance zero is at least as long as the gradient behind
            it. Only then does an upload shorter than a clipping bound show that it was not clipped.
        compares: whether the distance depends on the dummy's gradient, which is not computed
            otherwise.
    """

    keeps_norm: ClassVar[bool] = True
    compares: ClassVar[bool] = True

    @abstractmethod
    def __call__(self, dummy: Gradient, shared: Gradient) -> Tensor:
        """Return the distance, a scalar >= 0.

        Args:
            dummy: gradient of the dummy batch, by parameter name.
            shared: the observed gradient, by the same names.
        """

    def behind_zeros(self) -> Objective:
        """Return the objective for a gradient of which coordinates were set to zero before.

        The default is the objective itself.
        """
        return self

    def explains(self, dummy: Gradient, shared: Gradient, rounding: float) -> bool:
        """Return whether the shared gradient is one that this objective expects of given data.

        An attacker of other equations fits anything as well as the truth, so its failure is not
        evidence for a defense. The default is for equations without uncertainty: nothing but
        floating-point arithmetic separates both gradients. An objective that models uncertainty
        replaces it, and rejects a difference that is too large or too small for it.

        Args:
            dummy: gradient of the data, in double precision.
            shared: the observed gradient, in double precision.
            rounding: relative distance that floating-point arithmetic explains.
        """
        zero = {k: torch.zeros_like(s) for k, s in shared.items()}
        return bool(self(dummy, shared) <= rounding * self(zero, shared))


@dataclass(frozen=True)
class SquaredDistance(Objective):
    """Unweighted sum of squared differences (DLG; Zhu, Liu, Han 2019, equation 1)."""

    @override
    def __call__(self, dummy: Gradient, shared: Gradient) -> Tensor:
        return total(lambda k: squared(dummy[k] - shared[k]), shared)


@dataclass(frozen=True)
class Withheld(Objective):
    """The same distance for every gradient: an attack with it follows its priors alone."""

    compares: ClassVar[bool] = False

    @override
    def __call__(self, dummy: Gradient, shared: Gradient) -> Tensor:
        return next(iter(shared.values())).new_ones(())


@dataclass(frozen=True)
class CosineDistance(Objective):
    """One minus the cosine of the angle between both gradients, all parameters together.

    Geiping et al., Inverting Gradients, NeurIPS 2020 (arXiv 2003.14053), equation 4.
    """

    @override
    def __call__(self, dummy: Gradient, shared: Gradient) -> Tensor:
        """Return the distance, a scalar in [0, 2]; 1 where one of them is zero."""
        sizes = inner_product(dummy, dummy, shared) * inner_product(shared, shared, shared)
        cosine = (
            inner_product(dummy, shared, shared) / (sizes + torch.finfo(sizes.dtype).tiny).sqrt()
        )
        return (1 - cosine).clamp(min=0)  # by rounding, the cosine of equal vectors can exceed 1


@dataclass(frozen=True)
class GaussianLikelihood(Objective):
    """Minus the log-likelihood under Gaussian noise, up to a constant: ``|d - s|^2 / (2 std^2)``.

    The squared distance in the unit of a prior that is minus the logarithm of a density, so that
    their sum is minus the logarithm of the posterior and needs no weight.

    Attributes:
        std: standard deviation of the noise on each coordinate, > 0.
    """

    std: float

    @override
    def __call__(self, dummy: Gradient, shared: Gradient) -> Tensor:
        return total(lambda k: squared((dummy[k] - shared[k]) / self.std) / 2, shared)

    @override
    def explains(self, dummy: Gradient, shared: Gradient, rounding: float) -> bool:
        return all(
            plausible_sum(float((r**2).sum()) / 2, len(r) / 2) and plausible_projection(r, d)
            for r, d in _residuals(dummy, shared, self.std)
        )


@dataclass(frozen=True)
class LaplacianLikelihood(Objective):
    """Minus the log-likelihood under Laplacian noise, up to a constant: ``|d - s|_1 / scale``.

    Smoothed for second-order optimisers: ``sqrt(r^2 + e^2) - e`` replaces the absolute value of r,
    with e a tenth of the scale.

    Attributes:
        scale: scale of the noise, whose density is ``exp(-|r| / scale) / (2 scale)``, > 0.
    """

    scale: float

    @property
    def std(self) -> float:
        """Standard deviation of the noise on each coordinate."""
        return self.scale * 2**0.5

    @override
    def __call__(self, dummy: Gradient, shared: Gradient) -> Tensor:
        def cost(k: str) -> Tensor:
            r = (dummy[k] - shared[k]) / self.scale
            return (r**2 + 0.01).sqrt() - 0.1

        return total(cost, shared)

    @override
    def explains(self, dummy: Gradient, shared: Gradient, rounding: float) -> bool:
        return all(
            plausible_sum(float(r.abs().sum()) * 2**0.5, len(r)) and plausible_projection(r, d)
            for r, d in _residuals(dummy, shared, self.std)
        )


@dataclass(frozen=True)
class Wrapper(Objective, ABC):
    """An objective that changes what is compared and leaves the comparison to another.

    A subclass is a frozen dataclass that says what a defense does to a gradient: it does the same
    to the dummy gradient, or leaves out the coordinates that the defense spoils.

    Attributes:
        base: objective that compares the changed gradients.
        keeps_norm: a wrapper does not.
        joins_rounds: whether the wrapper itself follows a defense over several rounds.
    """

    keeps_norm: ClassVar[bool] = False
    joins_rounds: ClassVar[bool] = False

    base: Objective = SquaredDistance()

    @property
    def pruned_up_to(self) -> float | None:
        """Largest magnitude of a coordinate that the defense may have set to zero.

        None, the default, if it sets no single coordinates to zero.
        """
        return None

    def above_noise(self, noise_std: float) -> Self:
        """Return the wrapper for an upload to which noise was added after its own defense.

        The default is the wrapper itself. One that reads zeros off the upload looks for values
        that the noise explains.

        Args:
            noise_std: standard deviation of the noise on a coordinate of the gradient.
        """
        return self

    @override
    def explains(self, dummy: Gradient, shared: Gradient, rounding: float) -> bool:
        return self.base.explains(*compared(self, dummy, shared), rounding)


def compared(wrapper: Wrapper, dummy: Gradient, shared: Gradient) -> tuple[Gradient, Gradient]:
    """Return the gradients that a wrapper compares."""
    seen = _Seen() if wrapper.base.keeps_norm else _SeenOfAnyNorm()
    replace(wrapper, base=seen)(dummy, shared)
    return seen.last


class _Seen(Objective):
    """Keeps the gradients that a wrapper compares."""

    last: tuple[Gradient, Gradient]

    @override
    def __call__(self, dummy: Gradient, shared: Gradient) -> Tensor:
        self.last = dummy, shared
        return next(iter(shared.values())).new_zeros(())


class _SeenOfAnyNorm(_Seen):
    keeps_norm: ClassVar[bool] = False


def unwrapped(objective: Objective) -> tuple[list[Wrapper], Objective]:
    """Return the wrappers, the outermost first, and the objective below all of them."""
    wrappers = []
    while isinstance(objective, Wrapper):
        wrappers.append(objective)
        objective = objective.base
    return wrappers, objective


def nested(wrappers: Sequence[Wrapper], objective: Objective) -> Objective:
    """Return the objective inside the wrappers, of which the first becomes the outermost.

    Wrappers change the dummy gradient from the outside in: they stand in the order of the defenses.
    """
    for wrapper in reversed(wrappers):
        objective = replace(wrapper, base=objective)
    return objective


def total(cost: Callable[[str], Tensor], names: Iterable[str]) -> Tensor:
    """Return the sum of the costs of all coordinates of the named tensors."""
    return torch.stack([cost(k).sum() for k in names]).sum()


def squared(x: Tensor) -> Tensor:
    """Return the squares; their derivative takes fewer operations than that of a power."""
    return x * x


def inner_product(one: Gradient, other: Gradient, names: Iterable[str]) -> Tensor:
    """Return the inner product of two gradients over the named tensors."""
    return total(lambda k: one[k] * other[k], names)


def _residuals(dummy: Gradient, shared: Gradient, std: float) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the residual and the dummy gradient in units of the noise, of all and of each tensor.

    Coordinates that are zero in both, which a wrapper has left out, are not compared.
    """
    parts = []
    for k, seen in shared.items():
        kept = (dummy[k] != 0) | (seen != 0)
        parts.append(((seen - dummy[k])[kept] / std, dummy[k][kept] / std))
    yield torch.cat([r for r, _ in parts]), torch.cat([d for _, d in parts])
    yield from (part for part in parts if len(part[0]) >= FEWEST)
