"""Interface of batched optimisers.

Each row of the point matrix, a *lane*, is a separate problem. Lanes share only the evaluation,
which is one batch: a lane that diverges, stalls or becomes NaN has no effect on the others.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

from torch import Tensor

Project = Callable[[Tensor], Tensor]
"""``(points (A, n)) -> (A, n)``: projection to the nearest allowed points."""


def anywhere(points: Tensor) -> Tensor:
    """Allow every point."""
    return points


class Lanes(ABC):
    """State of the running lanes, one row each.

    Attributes:
        point: each lane's best point so far, ``(A, n)``.
        value: its value, ``(A,)``; infinite before the first finite one.
    """

    point: Tensor
    value: Tensor

    @abstractmethod
    def admit(self, starts: Tensor) -> None:
        """Append lanes that begin at ``starts`` ``(new, n)``."""

    @abstractmethod
    def keep(self, rows: Tensor) -> None:
        """Keep only the lanes of a mask ``(A,)``."""

    @abstractmethod
    def trial(self) -> Tensor:
        """Return the points to evaluate next, ``(A, n)``."""

    @abstractmethod
    def update(self, value: Tensor, gradient: Tensor) -> None:
        """Update the lanes with the evaluation of the last `trial`.

        Args:
            value: ``(A,)``, finite or not.
            gradient: ``(A, n)``, finite or not.
        """

    @abstractmethod
    def stuck(self) -> Tensor:
        """Return a mask ``(A,)`` of the lanes that cannot improve any further."""


class Optimiser(ABC):
    """Hyper-parameters of an optimiser: a frozen dataclass."""

    @abstractmethod
    def lanes(self, like: Tensor, size: int, budget: int, project: Project) -> Lanes:
        """Return a state without lanes.

        Args:
            like: a tensor with the dtype and the device of the points.
            size: dimension of a point.
            budget: maximum number of evaluations of a lane.
            project: projection for optimisers that stay in a box; others may ignore it.
        """

    @property
    @abstractmethod
    def copies(self) -> int:
        """Return the most memory that a lane takes, in points."""
