"""Base classes of metrics."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

from torch import Tensor

from fedsim.core.checked import Parameters, checked
from fedsim.core.modality import PICTURES, TEXTS


@checked
class Metric(Parameters, ABC):
    """A figure that compares reconstructions with the private examples, one by one.

    The judge of the modality adds the figure to each score under the registered name, and to each
    blind baseline. Parameters need defaults: judges construct metrics without arguments.

    Attributes:
        modality: registered name of the modality of the examples.
        unit: of the figure, with a space in front where one belongs.
        higher_is_better: whether a higher figure means a better reconstruction.
        needs: command that installs what the metric needs beside fedsim; empty if it needs nothing.
    """

    modality: ClassVar[str]
    unit: ClassVar[str] = ""
    higher_is_better: ClassVar[bool] = True
    needs: ClassVar[str] = ""

    @classmethod
    def available(cls) -> bool:
        """Return whether what the metric needs is installed; without it, there are no figures."""
        return True

    @abstractmethod
    def score(self, rebuilt: Any, originals: Any) -> Tensor:
        """Return the figure of each example, (N,).

        Args:
            rebuilt: N reconstructions.
            originals: the N private examples, in the same order.
        """


@checked
class PictureMetric(Metric):
    """A metric of pictures."""

    modality: ClassVar[str] = PICTURES

    @abstractmethod
    def score(self, rebuilt: Tensor, originals: Tensor) -> Tensor:
        """Return the figure of each picture, (N,).

        Args:
            rebuilt: (N, C, H, W) in [0, 1], finite, float64 on the CPU.
            originals: the same of the private pictures.
        """


@checked
class TextMetric(Metric):
    """A metric of texts."""

    modality: ClassVar[str] = TEXTS

    @abstractmethod
    def score(self, rebuilt: Sequence[Sequence[str]], originals: Sequence[Sequence[str]]) -> Tensor:
        """Return the figure of each text, (N,).

        Args:
            rebuilt: the tokens of each reconstruction, maybe none.
            originals: the tokens of each private text, at least one.
        """
