"""Table of a comparison: in a terminal, and as CSV, Parquet, LaTeX and Markdown."""

from __future__ import annotations

import csv
import io
import math
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.filesize import decimal
from rich.table import Table
from rich.text import Text
from tabulate import tabulate

from fedsim.core.measures import Measure
from fedsim.log.results import Result
from fedsim.log.schema import ADAPTIVE, NAIVE, NO_DEFENSE
from fedsim.show.privacy import guarantee, upper
from fedsim.show.terminal.table import NOTHING

Value = str | float | int | bool | None

WORDS = ("defense", "strength", "stage", "attacker")
"""Displayed columns with text; the others hold numbers."""

_FORMATS: dict[str, Callable[[float], str]] = {
    "accuracy_mean": "{:.1%}".format,
    "upload_bytes": lambda value: decimal(round(value)),
    "epsilon": lambda bound: f"≤ {upper(bound)}",
    "any_attack": lambda success: f"≤ {math.ceil(1000 * success) / 10:.3g}%",
}

_PRIVATE = ("epsilon", "any_attack")
"""Columns that are displayed only if there is a guarantee."""


def headings(measure: Measure) -> dict[str, str]:
    """Return the displayed columns and their headings."""
    return {
        **dict(zip(WORDS, WORDS, strict=True)),
        _figure(measure, "mean"): measure.axis,
        _figure(measure, "std"): "±",
        _figure(measure, "worst"): "worst",
        _blind(measure): "blind",
        "recognisable": "recognisable",
        "partly": "partly",
        "recovered": measure.recovered_name,
        "accuracy_mean": "accuracy",
        "upload_bytes": "upload",
        "epsilon": "ε",
        "any_attack": "any attack",
    }


def _figure(measure: Measure, statistic: str) -> str:
    return f"{measure.key}_{statistic}_{measure.column}"


def _blind(measure: Measure) -> str:
    return f"blind_{measure.column}"


def as_records(results: Sequence[Result]) -> list[dict[str, Value]]:
    """Return one record for each result, with all figures unrounded."""
    return [_record(r) for r in results]


def _record(r: Result) -> dict[str, Value]:
    measure = r.measure
    return {
        "defense": r.label,
        "strength": r.strength,
        "value": r.value,
        "stage": r.stage,
        "attacker": r.attacker,
        "known_answer": r.known_answer,
        "examples": r.examples,
        _figure(measure, "mean"): _mean(r.scores),
        _figure(measure, "median"): statistics.median(r.scores) if r.scores else None,
        _figure(measure, "std"): _std(r.scores),
        _figure(measure, "worst"): max(r.scores, default=None),
        f"{measure.second}_mean": _mean(r.second),
        _blind(measure): _mean(r.blind),
        "recognisable": r.leaked / r.examples,
        "partly": r.partly / r.examples,
        "recovered": r.recovered / r.examples,
        "protected": r.protected / r.examples,
        "attack_failed": r.attack_failed / r.examples,
        "unscored": r.unscored / r.examples,
        "controls": r.controls[0],
        "controls_rebuilt": r.controls[1],
        "runs": len(r.accuracy),
        "accuracy_of": r.accuracy_name,
        "accuracy_mean": r.mean_accuracy,
        "accuracy_std": _std(r.accuracy),
        "upload_bytes": r.upload_bytes,
        "attack_seconds": r.attack_seconds,
        "run_seconds": r.run_seconds,
        "epsilon": r.epsilon,
        "any_attack": None if r.privacy is None else r.privacy.success,
        "guarantee": None if r.privacy is None else guarantee(r.privacy),
    }


def as_words(results: Sequence[Result]) -> list[dict[str, str]]:
    """Return the displayed columns of each result as formatted text, by their headings."""
    heads = _headings(results)
    return [dict(zip(heads, cells, strict=True)) for cells in _shown(results)]


def write_tables(results: Sequence[Result], folder: Path) -> list[Path]:
    """Write ``table.csv``, ``.parquet``, ``.md`` and ``.tex``, and return their paths."""
    import pyarrow as pa  # noqa: PLC0415  (takes a second to import, and --help must be quick)
    import pyarrow.parquet as pq  # noqa: PLC0415

    records = as_records(results)
    written = [folder / f"table.{end}" for end in ("csv", "md", "tex", "parquet")]
    for path, text in zip(
        written, (_csv(records), as_markdown(results), as_latex(results)), strict=False
    ):
        path.write_text(text, "utf-8")
    pq.write_table(pa.Table.from_pylist(records), written[-1])
    return written


def as_markdown(results: Sequence[Result]) -> str:
    """Return the displayed columns as a Markdown table."""
    # Names come from an untrusted file.
    rows = [[cell.replace("|", r"\|") for cell in row] for row in _shown(results)]
    text: str = tabulate(rows, headers=_headings(results), tablefmt="github", disable_numparse=True)
    return text


def as_latex(results: Sequence[Result]) -> str:
    """Return the displayed columns as a LaTeX table for the package ``booktabs``."""
    # Tabulate escapes LaTeX commands.
    text: str = tabulate(
        _shown(results),
        headers=[h.replace("≥", ">=") for h in _headings(results)],
        tablefmt="latex_booktabs",
        disable_numparse=True,
    )
    signs = {"≥": r"$\ge$", "≤": r"$\le$", "ε": r"$\varepsilon$", "±": r"$\pm$", "–": "--"}
    for sign, command in signs.items():
        text = text.replace(sign, command)
    return text


def terminal_tables(results: Sequence[Result]) -> list[Table]:
    """Return a table for each stage, for a terminal: a line for each defense and strength."""
    return [_terminal_table(stage, results) for stage in dict.fromkeys(r.stage for r in results)]


def _terminal_table(stage: str, results: Sequence[Result]) -> Table:
    own = [r for r in results if r.stage == stage]
    attackers = list(dict.fromkeys(r.attacker for r in own))
    private = any(r.epsilon is not None for r in own)
    measure = own[0].measure
    unit = f"{measure.unit.strip()}{measure.told_of}"
    table = Table(
        title=f"attacked {stage}: {unit} (highest), recognisable {measure.things}",
        title_justify="left",
        box=SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
    table.add_column("defense", min_width=16, overflow="fold")
    for attacker in attackers:
        table.add_column(attacker, justify="right")
    for heading in ("blind", "acc.", "upload", *(["ε"] if private else [])):
        table.add_column(heading, justify="right", no_wrap=True)
    for order in sorted({r.order for r in own}):
        found = {r.attacker: r for r in own if r.order == order}
        first = next(iter(found.values()))
        words = dict(zip(_columns([first]), _shown([first])[0], strict=True))
        name = f"{first.label} {first.strength.rpartition('=')[2]}".strip()
        table.add_row(
            name,
            *(_leakage(found[a]) if a in found else Text(NOTHING) for a in attackers),
            words[_blind(measure)],
            words["accuracy_mean"],
            words["upload_bytes"],
            *([words.get("epsilon", NOTHING)] if private else []),
        )
    return table


def _leakage(r: Result) -> Text:
    if r.attacker == ADAPTIVE and not r.known_answer:
        return Text(NOTHING if r.label == NO_DEFENSE else "no countermeasure", style="dim")
    doubtful = r.attack_failed or r.unscored
    doubted = "magenta" if doubtful else "green"
    style = "bold red" if r.leaked else "yellow" if r.partly else doubted
    score = f"{statistics.fmean(r.scores):.0f} ({max(r.scores):.0f})" if r.scores else NOTHING
    partly = f", {r.partly} partly" if r.partly else ""
    failed = f", {r.attack_failed} failed" if r.attack_failed else ""
    nothing = f", {r.unscored} unscored" if r.unscored else ""
    return Text(f"{score}, {r.leaked}/{r.examples}{partly}{failed}{nothing}", style=style)


def _columns(results: Sequence[Result]) -> list[str]:
    """Return the displayed columns; those of a guarantee only if there is one."""
    private = any(r.epsilon is not None for r in results)
    shown = headings(results[0].measure) if results else {}
    return [c for c in shown if private or c not in _PRIVATE]


def _headings(results: Sequence[Result]) -> list[str]:
    return [headings(results[0].measure)[c] for c in _columns(results)]


def _shown(results: Sequence[Result]) -> list[list[str]]:
    columns = _columns(results)
    return [
        [_in_words(column, value, r) for column, value in _record(r).items() if column in columns]
        for r in results
    ]


def _in_words(column: str, value: Value, r: Result) -> str:
    special = {
        "strength": f"{value} {r.units}".strip() or NOTHING,
        "attacker": value if value == NAIVE or r.known_answer else f"{value} (no answer)",
        "recognisable": f"{r.leaked}/{r.examples}",
        "partly": f"{r.partly}/{r.examples}",
        "recovered": f"{r.recovered}/{r.examples}",
    }
    if column in special:
        return str(special[column])
    if isinstance(value, int | float):
        return _FORMATS.get(column, "{:.1f}".format)(float(value))
    return str(value) if value else NOTHING


def _csv(records: Sequence[dict[str, Value]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(records[0]) if records else [])
    writer.writeheader()
    writer.writerows(records)
    return text.getvalue()


def _mean(values: Sequence[float]) -> float | None:
    return statistics.fmean(values) if values else None


def _std(values: Sequence[float]) -> float | None:
    return statistics.stdev(values) if len(values) > 1 else None
