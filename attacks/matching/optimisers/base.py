"""The contract of an optimiser for batches.

Each row of the point matrix, a *lane*, is a problem of its own. Lanes share nothing but the
evaluation, which is one batch: a lane that diverges, stalls or turns to NaN leaves the others
as they would be without it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

from torch import Tensor

Project = Callable[[Tensor], Tensor]
"""``(points (A, n)) -> (A, n)``: the nearest points that are allowed."""


def anywhere(points: Tensor) -> Tensor:
    """Allow every point."""
    return points


class Lanes(ABC):
    """The state of the lanes that are running, one row each.

    Attributes:
        point: each lane's best point so far, ``(A, n)``.
        value: its value, ``(A,)``; infinite before the first finite one.
    """

    point: Tensor
    value: Tensor

    @abstractmethod
    def admit(self, starts: Tensor) -> None:
        """Add lanes that begin at ``starts`` ``(new, n)``, after the others."""

    @abstractmethod
    def keep(self, rows: Tensor) -> None:
        """Drop all lanes but these, a mask ``(A,)``."""

    @abstractmethod
    def trial(self) -> Tensor:
        """Return the points to evaluate next, ``(A, n)``."""

    @abstractmethod
    def update(self, value: Tensor, gradient: Tensor) -> None:
        """Learn from the evaluation of the last `trial`.

        Args:
            value: ``(A,)``, finite or not.
            gradient: ``(A, n)``, finite or not.
        """

    @abstractmethod
    def stuck(self) -> Tensor:
        """Return the lanes that can get no further, a mask ``(A,)``."""


class Optimiser(ABC):
    """The hyper-parameters of an optimiser: a frozen dataclass."""

    @abstractmethod
    def lanes(self, like: Tensor, size: int, budget: int, project: Project) -> Lanes:
        """Return a state without lanes.

        Args:
            like: a tensor of the type and on the device of the points.
            size: numbers in a point.
            budget: evaluations that a lane may have.
            project: for optimisers that keep to a box; others may ignore it.
        """

    @property
    @abstractmethod
    def copies(self) -> int:
        """Return how many points' worth of memory a lane takes at the most."""
