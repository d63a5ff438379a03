"""Base class of every prior."""

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import Tensor

from fedsim.core.modality import PICTURES


class Prior(ABC):
    """A differentiable cost of dummy data, small for plausible data.

    It is added to an attack's objective, in the objective's unit.
    """

    modality: ClassVar[str] = PICTURES
    """The modality of the data that it judges; attacks on other data ignore it."""

    @abstractmethod
    def __call__(self, data: Tensor) -> Tensor:
        """Return the cost, a scalar.

        Args:
            data: one lane's dummy batch ``(N, C, H, W)``, not clamped to [0, 1].
        """
