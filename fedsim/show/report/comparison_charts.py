"""Charts of a comparison, as tables of data and layout for Plotly."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

import numpy as np

from fedsim.core.names import ATTACKERS, NO_DEFENSE
from fedsim.log.results import Result
from fedsim.scenario.grid import slug
from fedsim.show.comparison.figures import LEAST_SPAN, LOGARITHMIC
from fedsim.show.comparison.heat import SIDES
from fedsim.show.report.charts import BLIND, Chart, Trace, plain, style

COLUMNS = 3
_REFERENCE: Trace = {
    "line": {"color": BLIND},
    "marker": {"color": BLIND, "symbol": "star", "size": 12},
}


def comparison_charts(found: Sequence[Result]) -> list[Chart]:
    """Return the non-empty charts: frontier and strengths of each stage."""
    stages = dict.fromkeys(r.stage for r in found)
    charts = [chart(found, s) for s in stages for chart in (_frontier, _strengths)]
    return [chart for chart in charts if chart is not None]


def _frontier(found: Sequence[Result], stage: str) -> Chart | None:
    """Draw leakage against accuracy, a panel for each attacker."""
    shown = [r for r in found if r.stage == stage and r.scores and r.accuracy]
    attackers = sorted({r.attacker for r in shown}, key=ATTACKERS.index)
    labels = list(dict.fromkeys(r.label for r in shown))
    labels.sort(
        key=lambda label: label == NO_DEFENSE
    )  # last, so that it does not take another series' colour
    data: list[Trace] = []
    layout: dict[str, Any] = {"annotations": [], "shapes": []}
    for panel, attacker in enumerate(attackers):
        own = [r for r in shown if r.attacker == attacker]
        unit = own[0].measure.unit
        hover = f"%{{text}}<br>%{{y:.1f}}{unit} at %{{x:.1f}} % accuracy<extra></extra>"
        x, y = _axes(layout, panel, _columns(panel, len(attackers)), (0, 1))
        layout[f"xaxis{_suffix(panel)}"]["title"] = {
            "text": f"{own[0].accuracy_name} at the end, %"
        }
        layout["annotations"].append(_title(f"{attacker} attacker", x, y))
        layout["shapes"].append(_blind(own, x, y))
        for i, label in enumerate(labels):
            line = sorted((r for r in own if r.label == label), key=lambda r: r.order)
            look = _REFERENCE if label == NO_DEFENSE else style(i)
            data.append(
                {
                    "type": "scatter",
                    "mode": "markers"
                    if any(len(r.settings) == SIDES for r in line)
                    else "lines+markers",
                    "name": plain(label),
                    "legendgroup": str(i),
                    "showlegend": panel == 0,
                    "x": [100 * statistics.fmean(r.accuracy) for r in line],
                    "y": [statistics.median(r.scores) for r in line],
                    "error_y": _spread(line),
                    "text": [_told(r) for r in line],
                    "hovertemplate": hover,
                    "xaxis": x,
                    "yaxis": y,
                    **look,
                }
            )
    if not data:
        return None
    low, high = min(min(d["x"]) for d in data), max(max(d["x"]) for d in data)
    if high - low < LEAST_SPAN:  # otherwise irrelevant differences would fill the chart
        middle = (low + high) / 2
        for panel in range(len(attackers)):
            span = [middle - LEAST_SPAN / 2, middle + LEAST_SPAN / 2]
            layout[f"xaxis{_suffix(panel)}"]["range"] = span
    layout["yaxis"]["title"] = {"text": shown[0].measure.axis}
    return Chart(
        f"frontier-{slug(stage)}",
        f"Leakage against accuracy, attacked {stage}",
        "Each point is a defense at one strength: to the right is better for the model, below is "
        "better for the clients. Points are medians with quartiles; the dashed line is the best "
        "blind guess.",
        data,
        layout,
        height=480,
    )


def _strengths(found: Sequence[Result], stage: str) -> Chart | None:
    """Draw leakage against strength, a panel for each defense with several strengths."""
    shown = [r for r in found if r.stage == stage and r.scores and r.value is not None]
    labels = list(dict.fromkeys(r.label for r in shown))
    labels = [x for x in labels if len({r.value for r in shown if r.label == x}) > 1]
    if not labels:
        return None
    undefended = [
        r
        for r in found
        if r.stage == stage and r.label == NO_DEFENSE and not r.strength and r.scores
    ]
    measure = shown[0].measure
    columns = min(COLUMNS, len(labels))
    rows = -(-len(labels) // columns)
    data: list[Trace] = []
    layout: dict[str, Any] = {"annotations": [], "shapes": []}
    for panel, label in enumerate(labels):
        own = [r for r in shown if r.label == label]
        across = _columns(panel % columns, columns)
        x, y = _axes(layout, panel, across, _rows(panel // columns, rows))
        axis = layout[f"xaxis{_suffix(panel)}"]
        axis["title"] = {"text": plain(own[0].strength.partition("=")[0])}
        values = [r.value or 0 for r in own]
        if min(values) > 0 and max(values) / min(values) >= LOGARITHMIC:
            axis |= {"type": "log", "dtick": 1, "tickformat": "~g"}
        if panel % columns == 0:
            layout[f"yaxis{_suffix(panel)}"]["title"] = {"text": measure.axis}
        layout["annotations"].append(_title(plain(label), x, y))
        layout["shapes"].append(_blind(own, x, y))
        if undefended:
            layout["shapes"].append(_line(statistics.median(undefended[0].scores), x, y, "solid"))
        for i, attacker in enumerate(ATTACKERS):
            line = sorted((r for r in own if r.attacker == attacker), key=lambda r: r.value or 0)
            look = style(i)
            look["line"] |= {"dash": ("solid", "dot", "dash")[i]}
            if line:
                data.append(
                    {
                        "type": "scatter",
                        "mode": "lines+markers",
                        "name": attacker,
                        "legendgroup": attacker,
                        "showlegend": not any(d["name"] == attacker for d in data),
                        "x": [r.value for r in line],
                        "y": [statistics.median(r.scores) for r in line],
                        "error_y": _spread(line),
                        "text": [_told(r) for r in line],
                        "hovertemplate": f"%{{text}}<br>%{{y:.1f}}{measure.unit}<extra></extra>",
                        "xaxis": x,
                        "yaxis": y,
                        **look,
                    }
                )
    return Chart(
        f"strengths-{slug(stage)}",
        f"Leakage against strength, attacked {stage}",
        "The effect of a stronger defense, for an attacker who ignores it, one who knows it, and, "
        "if there is one, the attacker of all rounds. The solid line shows no defense, the dashed "
        "line the best blind guess.",
        data,
        layout,
        height=120 + 250 * rows,
    )


def _axes(
    layout: dict[str, Any], panel: int, across: tuple[float, float], up: tuple[float, float]
) -> tuple[str, str]:
    """Add the axes of a panel to a layout, and return their names for traces."""
    suffix = _suffix(panel)
    layout[f"xaxis{suffix}"] = {"domain": list(across), "anchor": f"y{suffix}"}
    layout[f"yaxis{suffix}"] = {"domain": list(up), "anchor": f"x{suffix}"}
    if panel:
        layout[f"yaxis{suffix}"]["matches"] = "y"
    return f"x{suffix}", f"y{suffix}"


def _suffix(panel: int) -> str:
    return "" if panel == 0 else str(panel + 1)


def _columns(column: int, columns: int) -> tuple[float, float]:
    gap = 0.07 if columns > 1 else 0
    width = (1 - gap * (columns - 1)) / columns
    return column * (width + gap), column * (width + gap) + width


def _rows(row: int, rows: int) -> tuple[float, float]:
    gap = 0.42 / rows if rows > 1 else 0
    height = (1 - gap * (rows - 1)) / rows
    return 1 - row * (height + gap) - height, 1 - row * (height + gap)


def _title(text: str, x: str, y: str) -> dict[str, Any]:
    return {
        "text": text,
        "xref": f"{x} domain",
        "yref": f"{y} domain",
        "x": 0,
        "y": 1.02,
        "yanchor": "bottom",
        "xanchor": "left",
        "showarrow": False,
    }


def _blind(found: Sequence[Result], x: str, y: str) -> dict[str, Any]:
    return _line(statistics.median([b for r in found for b in r.blind]), x, y, "dash")


def _line(height: float, x: str, y: str, dash: str) -> dict[str, Any]:
    return {
        "type": "line",
        "xref": f"{x} domain",
        "yref": y,
        "x0": 0,
        "x1": 1,
        "y0": height,
        "y1": height,
        "line": {"color": BLIND, "dash": dash, "width": 1.5},
    }


def _spread(line: Sequence[Result]) -> Trace:
    """Return the distances of the quartiles from the median."""
    quartiles = [np.quantile(r.scores, (0.25, 0.5, 0.75)) for r in line]
    return {
        "type": "data",
        "symmetric": False,
        "array": [float(high - middle) for _, middle, high in quartiles],
        "arrayminus": [float(middle - low) for low, middle, _ in quartiles],
        "thickness": 1,
        "width": 3,
    }


def _told(result: Result) -> str:
    return plain(f"{result.name}: {result.leaked} of {result.examples} recognisable")
