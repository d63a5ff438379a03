"""Processing of gradients by defended clients, as a part of the client model.

A `Wrapper` of an objective changes the gradient of the whole dummy batch at the comparison. A
`Change` acts earlier: on the gradient of each example, or of each client, before their mean is
taken.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor
from typing_extensions import override

from fedsim.attacks.matching.objectives import Gradient, inner_product
from fedsim.core.vectors import share_of


class Change(ABC):
    """A differentiable effect of a defense on a gradient.

    A subclass is a frozen dataclass of its parameters. It is mapped over examples and lanes
    (`torch.func.vmap`), so it must not branch on values.
    """

    @abstractmethod
    def __call__(self, gradient: Gradient) -> dict[str, Tensor]:
        """Return the changed gradient.

        Args:
            gradient: tensors by parameter name; not modified.
        """


@dataclass(frozen=True)
class Clip(Change):
    """Clipping to a maximum L2 norm: ``g * min(1, norm / |g|)``.

    Attributes:
        norm: maximum norm, > 0.
    """

    norm: float

    @override
    def __call__(self, gradient: Gradient) -> dict[str, Tensor]:
        square = inner_product(gradient, gradient, gradient)
        factor = self.norm / square.clamp(min=self.norm**2).sqrt()
        return {k: factor * g for k, g in gradient.items()}


@dataclass(frozen=True)
class ClipTensors(Clip):
    """Clipping of each tensor to a maximum L2 norm."""

    @override
    def __call__(self, gradient: Gradient) -> dict[str, Tensor]:
        clip = super().__call__
        return {k: x for name, g in gradient.items() for k, x in clip({name: g}).items()}


@dataclass(frozen=True)
class KeepLargest(Change):
    """Magnitude pruning: the smallest values of each tensor become zero.

    Of values as large as the largest pruned one, which have another cause than chance only at zero,
    none is kept.

    Attributes:
        fraction: share of each tensor's coordinates that becomes zero, in [0, 1].
    """

    fraction: float

    @override
    def __call__(self, gradient: Gradient) -> dict[str, Tensor]:
        return {k: self._pruned(g) for k, g in gradient.items()}

    def _pruned(self, x: Tensor) -> Tensor:
        count = share_of(self.fraction, x.numel())
        if not count:
            return x
        sizes = x.detach().abs()
        largest = sizes.flatten().sort().values[count - 1]
        return torch.where(sizes > largest, x, 0.0)


def changed(gradient: Gradient, changes: Iterable[Change]) -> dict[str, Tensor]:
    """Return the gradient after several changes, the first one first."""
    gradient = dict(gradient)
    for change in changes:
        gradient = change(gradient)
    return gradient
