"""Chart of the objectives of a run's attacks."""

from __future__ import annotations

import math
from collections.abc import Sequence

from fedsim.log.schema import NAIVE
from fedsim.show.report.charts import Chart, Trace, plain, style
from fedsim.show.report.victims.cards import Attempt, Card, attempts_of

MOST_CURVES = 60
"""Maximum number of curves; beyond it, each group's best, median and worst are drawn."""


def objective_chart(cards: Sequence[Card]) -> Chart | None:
    """Return a chart of the objective over the evaluations, a line for each victim, or None."""
    groups = list(dict.fromkeys((c.group, a.attacker) for c in cards for a in c.attempts))
    names = list(dict.fromkeys(group for group, _ in groups))
    total = sum(bool(a.at) for c in cards for a in c.attempts)
    data: list[Trace] = []
    for group, attacker in groups:
        curves = [(c, a) for c, a in attempts_of(cards, group, attacker) if _drawable(a)]
        curves.sort(key=lambda pair: _last(pair[1]))
        if total > MOST_CURVES and curves:
            curves = [curves[i] for i in sorted({0, len(curves) // 2, len(curves) - 1})]
        look = style(names.index(group))
        look["line"] |= {"width": 1.5, "dash": "solid" if attacker == NAIVE else "dot"}
        for first, (card, attempt) in enumerate(curves):
            data.append(
                {
                    "type": "scatter",
                    "mode": "lines",
                    "name": plain(f"{group}, {attacker}"),
                    "legendgroup": f"{names.index(group)} {attacker}",
                    "showlegend": first == 0,
                    "x": list(attempt.at),
                    "y": [v if v is not None and v > 0 else None for v in attempt.objectives],
                    "text": [plain(f"{card.who}, round {card.server_round}")] * len(attempt.at),
                    "hovertemplate": "%{text}: evaluation %{x}, %{y:.2g}",
                    "line": look["line"],
                }
            )
    if not data:
        return None
    few = (
        " For each group the best, the median and the worst are shown."
        if total > MOST_CURVES
        else ""
    )
    return Chart(
        "objectives",
        "Objectives of the attacks",
        "The attack's own objective over its evaluations, a line for each victim. A line that "
        f"stays high is an attack that failed, not a defense that worked.{few} Naive and adaptive "
        "objectives measure different things: compare like with like.",
        data,
        {
            "xaxis": {"title": {"text": "evaluations"}},
            "yaxis": {"type": "log", "title": {"text": "objective"}, "exponentformat": "power"},
        },
        height=460,
    )


def _drawable(attempt: Attempt) -> bool:
    known = any(v is not None and v > 0 for v in attempt.objectives)
    return known and not attempt.reconstruction.film


def _last(attempt: Attempt) -> float:
    known = [v for v in attempt.objectives if v is not None]
    return known[-1] if known else math.inf
