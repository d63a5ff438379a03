"""Curve of the global model's accuracy in one line of a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

BLOCKS, SHADES = "▁▂▃▄▅▆▇█", "_.:-=+*#"
WIDTH = 30
"""Maximum number of columns of the curve."""


class AccuracyCurve:
    """Accuracy over the rounds: the first value, the curve, the last value, and a guess's.

    The lowest line is 0 and less, the highest one is the largest value, at least twice the guess.

    Args:
        accuracy: accuracy after each measured round.
        name: its name, such as ``test accuracy``.
        chance: accuracy of the best constant guess; None if unknown.
    """

    def __init__(self, accuracy: Mapping[int, float], name: str, chance: float | None) -> None:
        self._rounds, self._name, self._chance = dict(sorted(accuracy.items())), name, chance

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if self._rounds:
            shown = SHADES if options.ascii_only else BLOCKS
            yield Text(self.line(shown), overflow="ellipsis", no_wrap=True)

    def line(self, shades: str = BLOCKS) -> str:
        """Return the curve as text.

        Args:
            shades: characters from low to high.
        """
        values = list(self._rounds.values())
        guess = "" if self._chance is None else f" (a guess: {self._chance:.1%})"
        if len(values) == 1:
            return f"{self._name} {values[0]:.1%}{guess}"
        top = max(*values, 2 * (self._chance or 0), 1e-9)
        heights = (
            round(max(0, value) / top * (len(shades) - 1)) for value in _thinned(values, WIDTH)
        )
        curve = "".join(shades[height] for height in heights)
        return f"{self._name} {values[0]:.1%} {curve} {values[-1]:.1%}{guess}"


def _thinned(values: list[float], most: int) -> list[float]:
    """Return at most ``most`` values: the means of equal parts, the last of them as it is."""
    if len(values) <= most:
        return values
    ends = [round(i * len(values) / most) for i in range(most + 1)]
    means = [sum(values[a:b]) / (b - a) for a, b in pairwise(ends)]
    return [*means[:-1], values[-1]]
