"""The table at the end of a run, and what its reader must know."""

import statistics
from collections.abc import Sequence

from rich.markup import escape
from rich.table import Table
from rich.text import Text

from fedsim.summary import (
    ATTACK_FAILED,
    CONTROL,
    LEAKED,
    PARTLY,
    PROTECTED,
    UNSCORED,
    Row,
    Summary,
)

STYLES = {
    LEAKED: "bold red",
    PARTLY: "yellow",
    PROTECTED: "green",
    ATTACK_FAILED: "magenta",
    UNSCORED: "dim",
}


def summary_table(summary: Summary) -> Table:
    """Return the table at the end of a run: one row per client group and attacker."""
    table = Table(title="What leaked", title_justify="left")
    table.add_column("clients")
    table.add_column("attacker")
    for heading in ("images", "leaked", "PSNR dB (worst)", "blind dB", "labels", "kB", "accuracy"):
        table.add_column(heading, justify="right")
    accuracy = f"{summary.accuracy[max(summary.accuracy)]:.1%}" if summary.accuracy else "–"
    for row in summary.rows:
        control = row.group == CONTROL
        table.add_row(
            escape(row.group),
            row.attacker,
            str(row.images),
            Text(_leaked(row), style=_row_style(row)),
            _decibels(row.psnr),
            f"{statistics.median(row.baseline):.0f}" if row.baseline else "–",
            "–" if row.labels_right is None else f"{row.labels_right:.0%}",
            "–" if row.upload_bytes is None else f"{row.upload_bytes / 1000:.1f}",
            "–" if control else accuracy,
            end_section=len(summary.rows) > 1 and row is summary.rows[-2] and not control,
        )
    return table


def remarks(summary: Summary) -> list[Text]:
    """Return what a reader of the table must know, most important first."""
    lines = []
    if summary.control_failed:
        lines.append(
            Text(
                "The positive control was not rebuilt: this attack failed here, so nothing above "
                "says that a defense works. Give it more evaluations, or another attack.",
                style="bold magenta",
            )
        )
    if any(row.count(ATTACK_FAILED) for row in summary.rows):
        lines.append(
            Text(
                "'attack failed': the private picture fits the upload better than what was found; "
                "a better attack may find it. That is no protection."
            )
        )
    if summary.approximate:
        lines.append(
            Text(
                "The clients took several local steps and the attack matched them as one large "
                "step: an approximation, so these figures are a lower bound on what leaks."
            )
        )
    lines += [Text(f"round {r}, client {c}: not used: {why}") for r, c, why in summary.problems]
    lines += [Text(f"{victim}: attack failed: {why}") for victim, why in summary.failures]
    if summary.rows:
        lines.append(
            Text(
                "leaked: recognisable by the thresholds in fedsim/metrics/verdict.py. blind dB: "
                "the best guess without any gradient. accuracy: of the one global model.",
                style="dim",
            )
        )
    return lines


def _leaked(row: Row) -> str:
    parts = [f"{row.count(LEAKED)} of {row.images}"]
    parts += [f"{row.count(m)} {m}" for m in (PARTLY, ATTACK_FAILED, UNSCORED) if row.count(m)]
    return ", ".join(parts)


def _row_style(row: Row) -> str:
    for meaning in (LEAKED, PARTLY, ATTACK_FAILED, UNSCORED):
        if row.count(meaning):
            return STYLES[meaning]
    return STYLES[PROTECTED]


def _decibels(values: Sequence[float]) -> str:
    """Return the median, and in brackets the highest: the worst for the client."""
    return f"{statistics.median(values):.0f} ({max(values):.0f})" if values else "–"
