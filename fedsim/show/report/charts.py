"""Common parts of charts, which are tables of data and layout for Plotly.

Text from files is escaped, because Plotly interprets some tags.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

# Okabe and Ito's colours, which colour-blind people can distinguish; without black, which is
# invisible on a dark page, and yellow, which is invisible on a light one.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "x", "star")
BLIND = "#8A8A8A"

Trace = dict[str, Any]


@dataclass(frozen=True)
class Chart:
    """One chart.

    Attributes:
        key: its name in the page.
        title: heading above it.
        caption: description, also for readers who cannot see it.
        data: Plotly's traces.
        layout: Plotly's layout; colours of ink and paper are the page's.
        height: height in pixels.
    """

    key: str
    title: str
    caption: str
    data: Sequence[Trace]
    layout: Mapping[str, Any] = field(default_factory=dict)
    height: int = 380

    @property
    def figure(self) -> dict[str, Any]:
        """Figure that the page passes to Plotly."""
        return {"data": list(self.data), "layout": {**self.layout, "height": self.height}}


def plain(text: object) -> str:
    """Return text escaped for Plotly."""
    return str(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def style(position: int) -> Trace:
    """Return the colour and marker of the n-th series of a chart."""
    colour = COLOURS[position % len(COLOURS)]
    return {
        "line": {"color": colour},
        "marker": {"color": colour, "symbol": SYMBOLS[position % len(SYMBOLS)], "size": 8},
    }
