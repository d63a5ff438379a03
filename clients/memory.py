"""Numbers that a client's checks remember from one received model to the next."""

from __future__ import annotations

from collections.abc import Mapping

from flwr.app import Context, MetricRecord

KEY = "check-state"
"""Beginning of the names of the records in the client's Flower state."""


def remembered(context: Context, count: int) -> dict[int, dict[str, float]]:
    """Return the numbers of each of ``count`` defenses that kept some, by position."""
    records = {i: context.state.metric_records.get(f"{KEY}.{i}") for i in range(count)}
    return {
        i: {name: float(value) for name, value in record.items() if isinstance(value, int | float)}
        for i, record in records.items()
        if record is not None
    }


def remember(context: Context, kept: Mapping[int, Mapping[str, float]]) -> None:
    """Store the numbers of defenses by position."""
    for position, numbers in kept.items():
        context.state[f"{KEY}.{position}"] = MetricRecord(dict(numbers))
