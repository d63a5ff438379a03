"""Figures of a comparison: frontier, leakage against strength, and the same victim."""

from __future__ import annotations

import io
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fedsim.core.names import ATTACKERS, NO_DEFENSE
from fedsim.log.results import Result
from fedsim.show.comparison.heat import SIDES, HeatMap
from fedsim.show.figures.files import replace_file

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe and Ito's colours, which colour-blind people can distinguish.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = "osD^vP*Xd<>"
DPI = 120
LOGARITHMIC = 20
"""Minimum ratio of strengths for a logarithmic axis."""

_DARK = 0.5
"""Maximum share at which the text of a tile is white."""

LEAST_SPAN = 10.0
"""Minimum range of the frontier's axis, in points of accuracy."""


FORMATS = ("png", "pdf", "svg")


def draw_frontier(results: Sequence[Result], stage: str, stem: Path) -> list[Path]:
    """Draw leakage against accuracy, a line for each defense through its strengths.

    Args:
        results: results of all stages.
        stage: the stage to draw.
        stem: the files' path without its ending.

    Returns:
        The paths of the files: none if there is nothing to draw.
    """
    # Takes seconds to import; the object-oriented part needs no display and keeps no state.
    from matplotlib.figure import Figure  # noqa: PLC0415

    shown = [r for r in results if r.stage == stage and r.scores and r.accuracy]
    attackers = sorted({r.attacker for r in shown}, key=ATTACKERS.index)
    if not attackers:
        return []
    figure = Figure(figsize=(6 * len(attackers) + 1.5, 5), layout="constrained")
    axes = figure.subplots(1, len(attackers), sharex=True, sharey=True, squeeze=False)[0]
    labels = list(dict.fromkeys(r.label for r in shown))
    for axis, attacker in zip(axes, attackers, strict=True):
        own = [r for r in shown if r.attacker == attacker]
        for i, label in enumerate(labels):
            line = sorted((r for r in own if r.label == label), key=lambda r: r.order)
            swept = any(len(r.settings) == SIDES for r in line)
            axis.errorbar(
                [100 * statistics.fmean(r.accuracy) for r in line],
                [statistics.median(r.scores) for r in line],
                yerr=_spread(line),
                color=COLOURS[i % len(COLOURS)],
                marker=MARKERS[i % len(MARKERS)],
                linestyle="none" if swept else "-",
                linewidth=1,
                capsize=2,
                label=label,
            )
            for r in [] if swept else line:
                at = (100 * statistics.fmean(r.accuracy), statistics.median(r.scores))
                axis.annotate(
                    r.brief,
                    at,
                    xytext=(4, 4),
                    textcoords="offset points",
                    fontsize=7,
                    color=COLOURS[i % len(COLOURS)],
                    parse_math=False,
                )
        blind = statistics.median([b for r in own for b in r.blind])
        axis.axhline(blind, color="grey", linestyle="--", linewidth=1)
        axis.annotate(
            "blind guess",
            (0.99, blind),
            xytext=(0, 2),
            textcoords="offset points",
            xycoords=("axes fraction", "data"),
            ha="right",
            fontsize=8,
        )
        axis.set_title(f"{attacker} attacker, {stage}", parse_math=False)
        axis.set_xlabel(f"{own[0].accuracy_name} at the end, %")
    low, high = axes[0].get_xlim()
    if high - low < LEAST_SPAN:  # otherwise irrelevant differences would fill the picture
        middle = (low + high) / 2
        axes[0].set_xlim(middle - LEAST_SPAN / 2, middle + LEAST_SPAN / 2)
    axes[0].set_ylabel(f"{shown[0].measure.axis} (median; bars: quartiles)")
    handles, texts = axes[0].get_legend_handles_labels()
    legend = figure.legend(handles, texts, loc="outside right upper", fontsize=8)
    for text in legend.get_texts():
        text.set_parse_math(False)
    return _save(figure, stem)


def draw_strengths(results: Sequence[Result], stage: str, stem: Path) -> list[Path]:
    """Draw leakage against strength, a panel for each defense with several strengths.

    Figure 7 of Zhu, Liu and Han (2019) shows the objective over the iterations to find the strength
    that protects; this figure shows it directly.
    """
    from matplotlib.figure import Figure  # noqa: PLC0415

    shown = [r for r in results if r.stage == stage and r.scores and r.value is not None]
    labels = list(dict.fromkeys(r.label for r in shown))
    if not labels:
        return []
    columns = min(3, len(labels))
    rows = -(-len(labels) // columns)
    figure = Figure(figsize=(4.5 * columns, 3.6 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, sharey=True, squeeze=False).ravel()
    undefended = [
        r for r in results if r.stage == stage and not r.strength and r.label == NO_DEFENSE
    ]
    for axis, label in zip(axes, labels, strict=False):
        own = [r for r in shown if r.label == label]
        for i, attacker in enumerate(sorted({r.attacker for r in own}, key=ATTACKERS.index)):
            line = sorted((r for r in own if r.attacker == attacker), key=lambda r: r.value or 0)
            axis.errorbar(
                [r.value or 0 for r in line],
                [statistics.median(r.scores) for r in line],
                yerr=_spread(line),
                color=COLOURS[i],
                marker=MARKERS[i],
                linestyle=("-", "--", "-.")[i],
                capsize=2,
                label=attacker,
            )
        values = [r.value or 0 for r in own]
        if min(values) > 0 and max(values) / min(values) >= LOGARITHMIC:
            axis.set_xscale("log")
        if undefended and undefended[0].scores:
            axis.axhline(statistics.median(undefended[0].scores), color="black", linewidth=0.8)
        axis.axhline(
            statistics.median([b for r in own for b in r.blind]), color="grey", linestyle=":"
        )
        axis.set_title(label, parse_math=False)
        axis.set_xlabel(own[0].strength.partition("=")[0], parse_math=False)
    for axis in axes[len(labels) :]:
        axis.set_visible(False)
    # One legend for all panels: inside a panel it would cover the lines.
    handles, texts = axes[0].get_legend_handles_labels()
    figure.legend(handles, texts, loc="outside upper center", ncols=len(texts), fontsize=8)
    axis_name = shown[0].measure.axis
    figure.supylabel(f"{axis_name} (black: no defense, dotted: blind guess)", fontsize=9)
    return _save(figure, stem)


def draw_heat(maps: Sequence[HeatMap], stem: Path) -> list[Path]:
    """Draw heat maps side by side, with the figure in each tile.

    Args:
        maps: maps with the same title.
        stem: the files' path without its ending.

    Returns:
        The paths of the files.
    """
    from matplotlib.figure import Figure  # noqa: PLC0415

    rows, columns = len(maps[0].rows), len(maps[0].columns)
    size = (len(maps) * (1.6 + 0.75 * columns), 1.5 + 0.5 * rows)
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(1, len(maps), squeeze=False)[0]
    for axis, heat in zip(axes, maps, strict=True):
        shares = np.array(
            [[np.nan if t.share is None else t.share for t in row] for row in heat.tiles]
        )
        axis.imshow(shares, cmap="cividis", vmin=0, vmax=1, aspect="auto")
        for y, row in enumerate(heat.tiles):
            for x, tile in enumerate(row):
                dark = tile.share is not None and tile.share < _DARK
                axis.text(x, y, tile.text, ha="center", va="center", fontsize=8,
                          color="white" if dark else "black", parse_math=False)  # fmt: skip
        axis.set_xticks(range(columns), heat.columns, parse_math=False)
        axis.set_yticks(range(rows), heat.rows, parse_math=False)
        axis.set_title(heat.figure, fontsize=10, parse_math=False)
        axis.set_ylabel(heat.names[0], parse_math=False)
        axis.set_xlabel(heat.names[1], parse_math=False)
    figure.suptitle(maps[0].title, parse_math=False, fontsize=11)
    return _save(figure, stem)


def _save(figure: Figure, stem: Path) -> list[Path]:
    """Write a figure in all formats, without the time of writing."""
    import matplotlib  # noqa: PLC0415

    paths = [stem.with_name(f"{stem.name}.{end}") for end in FORMATS]
    dates = {"png": {}, "pdf": {"CreationDate": None}, "svg": {"Date": None}}
    # Fonts as outlines that publishers accept, and names in SVG that are the same each time.
    with matplotlib.rc_context({"pdf.fonttype": 42, "svg.hashsalt": stem.name}):
        for path, end in zip(paths, FORMATS, strict=True):
            buffer = io.BytesIO()
            figure.savefig(buffer, format=end, dpi=DPI, metadata=dates[end])
            replace_file(path, buffer.getvalue())
    return paths


def _spread(line: Sequence[Result]) -> list[list[float]]:
    """Return the distances of the quartiles from the median, below and above."""
    quartiles = [np.quantile(r.scores, (0.25, 0.5, 0.75)) for r in line]
    return [[float(m - a) for a, m, _ in quartiles], [float(b - m) for _, m, b in quartiles]]
