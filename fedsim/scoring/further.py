"""Registered metrics beyond the figures that a judge computes itself."""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Collection
from typing import Any

import torch
from torch import Tensor

from fedsim.core.errors import FedsimWarning
from fedsim.core.randomness import global_randomness
from fedsim.core.registry import METRICS

Figures = dict[str, float | None]
"""Figures of one example by name; None where there is none."""


class FurtherMetrics:
    """The registered metrics of one modality, without those that its judge computes itself.

    A metric that needs what is not installed is left out; ``fedsim show NAME`` says so. A metric
    that fails yields None in place of its figures and a warning; the run goes on.

    Args:
        modality: registered name of the modality.
        own: names of the figures that the judge computes itself.
    """

    def __init__(self, modality: str, own: Collection[str]) -> None:
        classes = {name: METRICS.get(name) for name in METRICS.names() if name not in own}
        self._metrics = {
            n: cls
            for n, cls in classes.items()
            if getattr(cls, "modality", "") == modality and cls.available()
        }
        self._warned: set[str] = set()

    def figures(self, rebuilt: Any, originals: Any) -> list[Figures]:
        """Return the figures of each example.

        Args:
            rebuilt: N reconstructions, as the metrics of the modality take them.
            originals: the N private examples, in the same order.
        """
        columns = {name: self._column(name, rebuilt, originals) for name in self._metrics}
        return [{n: column[i] for n, column in columns.items()} for i in range(len(originals))]

    def _column(self, name: str, rebuilt: Any, originals: Any) -> list[float | None]:
        """Return one figure of all examples."""
        # Code of third parties changes neither the data that are judged nor the run's randomness.
        given = copy.deepcopy((rebuilt, originals))
        try:
            with torch.no_grad(), global_randomness():
                scores = self._metrics[name]().score(*given)
            if not isinstance(scores, Tensor) or scores.shape != (len(originals),):
                raise TypeError(
                    f"expected a tensor of shape ({len(originals)},), not {_told(scores)}"
                )
            values = [float(value) for value in scores.tolist()]
        except Exception as error:
            self._warn(name, error)
            return [None] * len(originals)
        return [value if math.isfinite(value) else None for value in values]

    def _warn(self, name: str, error: Exception) -> None:
        if name in self._warned:
            return
        self._warned.add(name)
        warnings.warn(
            f"the metric {name!r} failed and has no figure where it does: "
            f"{type(error).__name__}: {error}",
            FedsimWarning,
            stacklevel=2,
        )


def _told(scores: object) -> str:
    return f"shape {tuple(scores.shape)}" if isinstance(scores, Tensor) else type(scores).__name__
