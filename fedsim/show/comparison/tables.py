"""Table of a comparison: its records and words, as Markdown and in a terminal."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence

from rich.box import SIMPLE_HEAD
from rich.filesize import decimal
from rich.table import Table
from rich.text import Text
from tabulate import tabulate

from fedsim.core.measures import Measure
from fedsim.log.results import Result
from fedsim.log.schema import NAIVE, NO_DEFENSE
from fedsim.show.privacy import guarantee, upper
from fedsim.show.terminal.table import NOTHING

Value = str | float | int | bool | None

WORDS = ("defense", "strength", "stage", "attacker")
"""Displayed columns with text; the others hold numbers."""

NO_COUNTERMEASURE = "no countermeasure"

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
    """Return one record for each distinct result, with all figures unrounded.

    A two-way sweep has a column for each of its parameters.
    """
    rows = distinct(results)
    swept = dict.fromkeys(key for r in rows for key, _ in r.settings if len(r.settings) > 1)
    return [_record(r, list(swept)) for r in rows]


def distinct(results: Sequence[Result]) -> list[Result]:
    """Return the results without those that repeat the naive attacker's."""
    return [r for r in results if not r.repeats_naive]


def _record(r: Result, swept: Sequence[str] = ()) -> dict[str, Value]:
    measure, settings = r.measure, dict(r.settings)
    return {
        "defense": r.label,
        "strength": r.strength or r.given,
        "value": r.value if r.strength else only(r.given),
        **{key: settings.get(key) for key in swept},
        "parameters": r.given,
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
    return [dict(zip(heads, cells, strict=True)) for cells in _distinct_shown(results)]


def as_markdown(results: Sequence[Result]) -> str:
    """Return the displayed columns as a Markdown table."""
    # Names come from an untrusted file.
    rows = [[cell.replace("|", r"\|") for cell in row] for row in _distinct_shown(results)]
    text: str = tabulate(rows, headers=_headings(results), tablefmt="github", disable_numparse=True)
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
        name = f"{first.label} {first.brief}".strip()
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
    if r.repeats_naive:
        return Text(NOTHING if r.label == NO_DEFENSE else NO_COUNTERMEASURE, style="dim")
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


def _distinct_shown(results: Sequence[Result]) -> list[list[str]]:
    """Return the displayed columns of each distinct result; the naive attacker may be both."""
    rows = distinct(results)
    both = {(r.order, r.stage) for r in results if r.repeats_naive and not _is_undefended(r)}
    shown, place = _shown(rows), _columns(rows).index("attacker") if rows else 0
    for row, r in zip(shown, rows, strict=True):
        if r.attacker == NAIVE and (r.order, r.stage) in both:
            row[place] = f"{NAIVE} ({NO_COUNTERMEASURE})"
    return shown


def _is_undefended(r: Result) -> bool:
    """Return whether an attacker has no defense to know: without one, or in a sweep of settings."""
    return r.label == NO_DEFENSE or (len(r.settings) > 1 and not r.chain)


def _shown(results: Sequence[Result]) -> list[list[str]]:
    columns = _columns(results)
    return [
        [_in_words(column, value, r) for column, value in _record(r).items() if column in columns]
        for r in results
    ]


def _in_words(column: str, value: Value, r: Result) -> str:
    special = {
        "strength": f"{value} {r.units}".strip() or NOTHING,
        "recognisable": f"{r.leaked}/{r.examples}",
        "partly": f"{r.partly}/{r.examples}",
        "recovered": f"{r.recovered}/{r.examples}",
    }
    if column in special:
        return str(special[column])
    if isinstance(value, int | float):
        return _FORMATS.get(column, "{:.1f}".format)(float(value))
    return str(value) if value else NOTHING


def only(given: str) -> float | None:
    """Return the number of a defense's single parameter, or None."""
    try:
        return float(given.partition("=")[2])
    except ValueError:
        return None


def _mean(values: Sequence[float]) -> float | None:
    return statistics.fmean(values) if values else None


def _std(values: Sequence[float]) -> float | None:
    return statistics.stdev(values) if len(values) > 1 else None
