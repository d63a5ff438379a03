"""Figures of runs that decide the questions of a lesson."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping

from fedsim.core.errors import RunError
from fedsim.lessons.plan import Fact, Question, What
from fedsim.log.schema import CONTROL, Meaning
from fedsim.log.summary import Row, Summary
from fedsim.show.privacy import upper


def right_choice(question: Question, summaries: Mapping[str, Summary]) -> int:
    """Return the number of the right choice, starting at 1.

    Args:
        question: the question.
        summaries: summaries of the lesson's runs, by name.

    Raises:
        RunError: the runs do not have the deciding figure.
    """
    if question.right is not None:
        return question.right
    value = value_of(question, summaries)
    since = question.since or []
    # Tolerance for rounding errors of shares and decibels.
    return max(1, sum(value >= bound - 1e-9 for bound in since))


def explanation(question: Question, summaries: Mapping[str, Summary]) -> str:
    """Return the reason for the right choice, with the figure."""
    if question.fact is None:
        return question.why
    return question.why.replace("{fact}", in_words(question.fact, value_of(question, summaries)))


def value_of(question: Question, summaries: Mapping[str, Summary]) -> float:
    """Return the figure that decides a question."""
    if question.fact is None:
        raise RunError(f"{question.question!r} is not decided by a run")
    return _value(question.fact, summaries)


def in_words(fact: Fact, value: float) -> str:
    """Return a figure with its unit."""
    if fact.what in ("leaked", "labels", "accuracy"):
        points = " percentage points" if fact.less else "%"
        return f"{100 * value:.0f}{points}"
    if fact.what == "kilobytes":
        return f"{value:.1f} kB"
    return upper(value) if fact.what == "epsilon" else f"{value:.1f}"


def _value(fact: Fact, summaries: Mapping[str, Summary]) -> float:
    value = _plain_value(fact, summaries)
    return value if fact.less is None else value - _value(fact.less, summaries)


def _plain_value(fact: Fact, summaries: Mapping[str, Summary]) -> float:
    name = fact.run or next(iter(summaries))
    if name not in summaries:
        raise RunError(f"there is no run {name!r}: the runs are {', '.join(summaries)}")
    summary = summaries[name]
    if fact.what == "accuracy":
        return summary.accuracy[max(summary.accuracy)]
    rows = [r for r in summary.rows if r.group != CONTROL and r.attacker == fact.attacker]
    row = next((r for r in rows if fact.clients in (None, r.group)), None)
    found = None if row is None else _OF_ROWS[fact.what](row)
    if found is None:
        raise RunError(f"{name}: {fact.clients or 'the clients'} have no figure for {fact.what!r}")
    return found


def _median_above_blind(row: Row) -> float:
    return statistics.median(row.scores) - statistics.median(row.baseline)


_OF_ROWS: Mapping[What, Callable[[Row], float | None]] = {
    "leaked": lambda row: row.count(Meaning.LEAKED) / row.examples,
    "score": lambda row: statistics.median(row.scores) if row.scores else None,
    "above blind": lambda row: _median_above_blind(row) if row.scores else None,
    "labels": lambda row: row.labels_right,
    "kilobytes": lambda row: None if row.upload_bytes is None else row.upload_bytes / 1000,
    "epsilon": lambda row: row.epsilon,
}
