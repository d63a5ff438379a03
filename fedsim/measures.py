"""The figure by which leakage is told, for each kind of data. Reads records alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

NEAREST = "nearest"


@dataclass(frozen=True)
class Measure:
    """The headline figure of a kind of data.

    Attributes:
        key: its field in a leakage record; in the baselines of a record it comes first.
        name: what tables call it.
        unit: of the figure, with a space in front where one belongs.
        things: what is attacked, in the plural.
    """

    key: str
    name: str
    unit: str
    things: str

    def of(self, record: dict[str, Any]) -> float | None:
        """Return the figure of a leakage record; None if it is unscored."""
        value: float | None = record[self.key]
        return value

    def blind(self, record: dict[str, Any]) -> float:
        """Return the best blind guess's figure for the same example."""
        guesses = record["baselines"].items()
        return max(float(scores[0]) for name, scores in guesses if name != NEAREST)

    def show(self, value: float) -> str:
        """Return a figure with its unit."""
        return f"{value:.0f}{self.unit}"


PSNR = Measure("psnr", "PSNR", " dB", "pictures")
TOKENS = Measure("token_accuracy", "tokens", "%", "texts")


def measure_of(record: dict[str, Any]) -> Measure:
    """Return the measure of a leakage record."""
    return TOKENS if TOKENS.key in record else PSNR
