"""Headline measures of leakage, one for each modality."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Measure:
    """Headline measure of a modality, with a secondary measure.

    Attributes:
        key: its name among the metrics of a score.
        name: what tables call it.
        unit: of the figure, with a space in front where one belongs.
        axis: what axes call it, with its unit.
        column: stands for the unit in the names of columns, such as ``psnr_mean_db``.
        second: the second figure's name among the metrics of a score.
        recovered: the least figure at which an example counts as recovered.
        recovered_name: what tables call that.
        thing: what is attacked.
        told_of: what follows a figure in a sentence.
        caption: of the figure, for the reader of a table.
        leaked: the examples that count as leaked, in words.
        statistic: the median of the figure, in words.
    """

    key: str
    name: str
    unit: str
    axis: str
    column: str
    second: str
    recovered: float
    recovered_name: str
    thing: str
    told_of: str
    caption: str
    leaked: str
    statistic: str

    @property
    def things(self) -> str:
        """The plural of what is attacked."""
        return f"{self.thing}s"

    def show(self, value: float, digits: int = 0) -> str:
        """Return a value with its unit."""
        return f"{value:.{digits}f}{self.unit}"

    def told(self, value: float) -> str:
        """Return a value as part of a sentence."""
        return f"{self.show(value, 1)}{self.told_of}"

    def named(self, statistic: str) -> str:
        """Return the name of a column, such as ``median_psnr_db``."""
        return f"{statistic}_{self.key}_{self.column}"


def accuracy_name(task: str) -> str:
    """Return the name of a model's accuracy for a training task."""
    return _ACCURACIES.get(task, "test accuracy")


_ACCURACIES = {
    "masked": "accuracy on masked tokens",
    "next": "accuracy on next tokens",
    "labels": "test accuracy per label",
    "numbers": "explained variance (R²)",
    "heads": "mean quality of the heads",
}
