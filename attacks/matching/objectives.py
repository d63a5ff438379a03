"""Objectives: how far a dummy gradient is from the shared one.

An objective sees one trial of one victim; the matching loop maps it over all of them. What
is optimised here never meets what is judged (`fedsim.scoring.metrics`).

A `Wrapper` only changes what is compared, so that they nest: an attacker of noise followed by
pruning minimises ``SurvivingDistance(GaussianLikelihood(0.01))``.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from fedsim.core.errors import AttackError

Gradient = Mapping[str, Tensor]


class Objective(ABC):
    """A differentiable distance between two gradients of the same parameters."""

    @abstractmethod
    def __call__(self, dummy: Gradient, shared: Gradient) -> Tensor:
        """Return the distance, a scalar >= 0.

        Args:
            dummy: gradient of the dummy batch, by parameter name.
            shared: the observed gradient, by the same names.
        """


@dataclass(frozen=True)
class SquaredDistance(Objective):
    """Unweighted sum of squared differences (DLG; Zhu, Liu, Han 2019, equation 1)."""

    def __call__(self, dummy: Gradient, shared: Gradient) -> Tensor:
        """Return the distance, a scalar >= 0."""
        return _total(lambda k: (dummy[k] - shared[k]) ** 2, shared)


@dataclass(frozen=True)
class CosineDistance(Objective):
    """One minus the cosine of the angle between both gradients, all parameters together.

    Geiping et al., Inverting Gradients, NeurIPS 2020 (arXiv 2003.14053), equation 4.
    """

    def __call__(self, dummy: Gradient, shared: Gradient) -> Tensor:
        """Return the distance, a scalar in [0, 2]; 1 where one of them is zero."""
        sizes = _product(dummy, dummy) * _product(shared, shared)
        cosine = _product(dummy, shared) / (sizes + torch.finfo(sizes.dtype).tiny).sqrt()
        return (1 - cosine).clamp(min=0)  # rounding can carry the cosine of equals above 1


@dataclass(frozen=True)
class ScaleFreeDistance(Objective):
    """Squared distance from the nearest positive multiple: min over a > 0 of |a d - s|^2.

    For gradients that were scaled by an unknown positive factor, as clipping to a norm does. With
    the dummy gradient d and the shared one s, the minimum is at ``a = max(d.s, 0) / d.d`` and is
    ``|s|^2 sin^2`` of the angle between them, or ``|s|^2`` if that is obtuse: close to a match
    this is ``2 |s|^2 (1 - cos)``, the objective of Inverting Gradients in other units.
    """

    def __call__(self, dummy: Gradient, shared: Gradient) -> Tensor:
        """Return the distance, a scalar in [0, |s|^2]."""
        size = _product(dummy, dummy)
        factor = _product(dummy, shared).clamp(min=0) / (size + torch.finfo(size.dtype).tiny)
        return _total(lambda k: (factor * dummy[k] - shared[k]) ** 2, shared)


@dataclass(frozen=True)
class GaussianLikelihood(Objective):
    """Minus the log-likelihood under Gaussian noise, up to a constant: ``|d - s|^2 / (2 std^2)``.

    The squared distance in the unit in which a prior is minus the logarithm of a density, so that
    their sum is minus that of the posterior and needs no weight between them.

    Attributes:
        std: standard deviation of the noise on each coordinate, > 0.
    """

    std: float

    def __call__(self, dummy: Gradient, shared: Gradient) -> Tensor:
        """Return the distance, a scalar >= 0."""
        return _total(lambda k: ((dummy[k] - shared[k]) / self.std) ** 2 / 2, shared)


@dataclass(frozen=True)
class LaplacianLikelihood(Objective):
    """Minus the log-likelihood under Laplacian noise, up to a constant: ``|d - s|_1 / scale``.

    Smoothed, as a second-order optimiser needs it: ``sqrt(r^2 + e^2) - e`` for the absolute value
    of r, with e a tenth of the scale.

    Attributes:
        scale: of the noise, whose density is ``exp(-|r| / scale) / (2 scale)``, > 0.
    """

    scale: float

    @property
    def std(self) -> float:
        """Standard deviation of the noise on each coordinate."""
        return self.scale * 2**0.5

    def __call__(self, dummy: Gradient, shared: Gradient) -> Tensor:
        """Return the distance, a scalar >= 0."""

        def cost(k: str) -> Tensor:
            r = (dummy[k] - shared[k]) / self.scale
            return (r**2 + 0.01).sqrt() - 0.1

        return _total(cost, shared)


@dataclass(frozen=True)
class Wrapper(Objective, ABC):
    """An objective that changes what is compared and leaves the comparison to another.

    Attributes:
        base: what compares the rest.
    """

    base: Objective = SquaredDistance()


@dataclass(frozen=True)
class SurvivingDistance(Wrapper):
    """Distance over the coordinates that pruning left: those that are not zero.

    A pruned coordinate says nothing of the data except that it was small. An attacker who
    matches the zeros too is led away from the data by them; one who leaves them out has
    exact equations, usually still more of them than unknowns.

    Attributes:
        floor: magnitude up to which a coordinate counts as pruned; above zero where noise was
            added after pruning, and hides the zeros.
    """

    floor: float = 0.0

    def __call__(self, dummy: Gradient, shared: Gradient) -> Tensor:
        """Return the distance, a scalar >= 0."""
        kept = {k: s.abs() > self.floor for k, s in shared.items()}
        return self.base(
            {k: torch.where(kept[k], dummy[k], 0.0) for k in shared},
            {k: torch.where(kept[k], shared[k], 0.0) for k in shared},
        )


@dataclass(frozen=True)
class SharedLayersDistance(Wrapper):
    """Distance over the tensors that tell of the data: neither dropped nor drawn at random.

    A tensor that is zero throughout was not shared (a dropped layer). One behind a stochastic
    layer (dropout, a variational bottleneck) answers draws that the attacker does not have.

    Attributes:
        left_out: names of tensors to leave out, besides those that are all zero.
        floor: root mean square up to which a tensor counts as zero; above zero where noise was
            added to what was not shared.
    """

    left_out: frozenset[str] = frozenset()
    floor: float = 0.0

    def __call__(self, dummy: Gradient, shared: Gradient) -> Tensor:
        """Return the distance, a scalar >= 0.

        Raises:
            AttackError: all tensors are to be left out.
        """
        left = {k: s for k, s in shared.items() if k not in self.left_out}
        if not left:
            raise AttackError(
                f"no tensor of the gradient is left to compare: {sorted(self.left_out)} are all "
                "there are; leave out fewer"
            )
        sent = {k: (s**2).mean().sqrt() > self.floor for k, s in left.items()}
        return self.base(
            {k: torch.where(sent[k], dummy[k], 0.0) for k in left},
            {k: torch.where(sent[k], left[k], 0.0) for k in left},
        )


@dataclass(frozen=True)
class WithoutLastWeight(Wrapper):
    """Distance over all tensors but the weight of the classification layer.

    For defenses that change what stands in that layer's gradient and no other. Its bias is
    compared: it tells the labels.
    """

    def __call__(self, dummy: Gradient, shared: Gradient) -> Tensor:
        """Return the distance, a scalar >= 0.

        Raises:
            AttackError: no other tensor is left.
        """
        dense = [k for k, s in shared.items() if s.ndim == 2]
        left = {k: s for k, s in shared.items() if k not in dense[-1:]}
        if not left:
            raise AttackError(
                f"no tensor of the gradient is left to compare without {dense[-1]!r}; attack "
                "without the countermeasure, or a model with more layers"
            )
        return self.base({k: dummy[k] for k in left}, left)


@dataclass(frozen=True)
class RoundingTolerance(Objective):
    """Squared distance beyond what rounding explains, in units of how coarse it is there.

    Every gradient that rounds to the upload explains it, so a coordinate costs nothing within
    half the spacing of the format around the shared value. Beyond, the excess counts relative
    to that half: of a floating-point format's values the small ones are known more precisely
    than the large ones. A tenth of the mean over all coordinates is added to the square of that
    unit, or the smallest would decide alone. At a power of two, where the spacing halves below
    the value, the wider one counts on both sides; a value at the end of fp16's range may stand
    for any beyond it.

    Attributes:
        format: what the upload was rounded to: a binary floating-point format, or the multiples
            of max|x| / 127 of each tensor.
        unit: what one unit of the upload is in the gradient.
        share: of the half spacing that costs nothing. With less than all of it the search goes
            on towards the middle of what explains the upload.
    """

    format: Literal["fp16", "bfloat16", "int8"]
    unit: float = 1.0
    share: float = 1.0

    def __call__(self, dummy: Gradient, shared: Gradient) -> Tensor:
        """Return the distance, a scalar >= 0."""
        half = {k: self._half_spacing(s) for k, s in shared.items()}
        mean = _product(half, half) / sum(s.numel() for s in shared.values())
        coarse = (0.1 * mean).clamp(min=torch.finfo(mean.dtype).eps ** 2)

        def cost(k: str) -> Tensor:
            low, high = self._bounds(shared[k], self.share * half[k])
            return (dummy[k] - dummy[k].clamp(low, high)) ** 2 / (half[k] ** 2 + coarse)

        return _total(cost, shared)

    def _half_spacing(self, x: Tensor) -> Tensor:
        """Return half the distance to the next value of the format, in the shape of ``x``."""
        if self.format == "int8":
            # A little more, for what float32 rounds by itself.
            return (x.abs().max() / 254 * (1 + 1e-4)).expand(x.shape)
        limits = self._limits()
        # A little more, lest a power of two falls below itself in the division.
        size = (x / self.unit).abs() * (1 + 1e-6)
        binade = torch.frexp(size.clamp(min=limits.smallest_normal)).exponent - 1
        return torch.ldexp(torch.full_like(x, limits.eps / 2 * self.unit), binade)

    def _bounds(self, x: Tensor, tolerance: Tensor) -> tuple[Tensor, Tensor]:
        low, high = x - tolerance, x + tolerance
        if self.format == "int8":
            return low, high
        limit = self._limits().max * self.unit
        return torch.where(x <= -limit, -torch.inf, low), torch.where(x >= limit, torch.inf, high)

    def _limits(self) -> torch.finfo:
        return torch.finfo(torch.float16 if self.format == "fp16" else torch.bfloat16)


def innermost(objective: Objective) -> Objective:
    """Return the objective that does the comparing, below all wrappers."""
    return innermost(objective.base) if isinstance(objective, Wrapper) else objective


def has_wrapper(objective: Objective, kind: type[Wrapper]) -> bool:
    """Return whether one of the wrappers is of a kind."""
    if not isinstance(objective, Wrapper):
        return False
    return isinstance(objective, kind) or has_wrapper(objective.base, kind)


def with_innermost(objective: Objective, new: Objective) -> Objective:
    """Return the objective with the one below all wrappers replaced."""
    if isinstance(objective, Wrapper):
        return replace(objective, base=with_innermost(objective.base, new))
    return new


def with_innermost_wrapper(objective: Objective, wrapper: Wrapper) -> Objective:
    """Return the objective with a wrapper around the one below all wrappers.

    Wrappers change the dummy gradient from the outside in, so that of the defense that was applied
    last belongs innermost.
    """
    return with_innermost(objective, replace(wrapper, base=innermost(objective)))


def _total(cost: Callable[[str], Tensor], names: Gradient) -> Tensor:
    return torch.stack([cost(k).sum() for k in names]).sum()


def _product(one: Gradient, other: Gradient) -> Tensor:
    return _total(lambda k: one[k] * other[k], other)
