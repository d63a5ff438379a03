"""Charts of a run."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

from fedsim.core.measures import Measure
from fedsim.core.names import ATTACKERS, NAIVE
from fedsim.log.summary import Summary
from fedsim.show.report.charts import BLIND, COLOURS, Chart, Trace, plain, style
from fedsim.show.report.objectives import objective_chart
from fedsim.show.report.victims.cards import Attempt, Card, attempts_of

MOST_CLIENTS = 40
"""Maximum number of clients in a chart, those with the most leakage first."""


def run_charts(cards: Sequence[Card], summary: Summary) -> list[Chart]:
    """Return the non-empty charts of a run."""
    private = [c for c in cards if not c.is_control]
    charts = [
        _by_group(cards, summary.measure),
        _over_rounds(private, summary),
        _clients(private, summary.measure),
        objective_chart(cards),
    ]
    return [chart for chart in charts if chart is not None]


def _by_group(cards: Sequence[Card], measure: Measure) -> Chart | None:
    """Draw every single score, by group."""
    data: list[Trace] = []
    for i, attacker in enumerate(ATTACKERS):
        own = [
            (c, a)
            for c in cards
            for a in c.attempts
            if a.attacker == attacker and a.score is not None
        ]
        if own:
            data.append(
                {
                    "type": "scatter",
                    "mode": "markers",
                    "name": attacker,
                    "y": [plain(c.group) for c, _ in own],
                    "x": [a.score for _, a in own],
                    "text": [plain(f"{c.who}, {a.meaning}") for c, a in own],
                    "hovertemplate": f"%{{text}}: {_at(measure)}",
                    "marker": style(i)["marker"] | {"size": 10, "opacity": 0.8},
                }
            )
    if not data:
        return None
    data.append(
        {
            "type": "scatter",
            "mode": "markers",
            "name": "blind guess at the same",
            "y": [plain(c.group) for c in cards],
            "x": [c.attempts[0].blind for c in cards],
            "marker": {"symbol": "line-ns-open", "size": 16, "color": BLIND, "line": {"width": 2}},
            "hovertemplate": f"a blind guess: {_at(measure)}",
        }
    )
    groups = list(dict.fromkeys(plain(c.group) for c in cards))
    return Chart(
        "groups",
        "Leakage by defense",
        "Every score; further to the right means more leakage. The grey lines are the best blind "
        "guesses for the same data. A defense that differs from no defense only for a naive "
        "attacker does not protect.",
        data,
        {
            "xaxis": {"title": {"text": measure.axis}, "rangemode": "tozero"},
            "yaxis": {
                "categoryorder": "array",
                "categoryarray": groups,
                "autorange": "reversed",
                "automargin": True,
            },
        },
        height=170 + 34 * len(groups),
    )


def _over_rounds(cards: Sequence[Card], summary: Summary) -> Chart | None:
    """Draw leakage by group above and accuracy below, over the same rounds."""
    attacked = {c.server_round for c in cards}
    measure, called = summary.measure, summary.accuracy_name
    data = _leakage_by_round(cards, measure) if len(attacked) > 1 else []
    data += _accuracy(summary.accuracy, called, "y2" if data else "y")
    if not data:
        return None
    rounds: Trace = {"title": {"text": "round"}, "tickformat": "d"}
    if max([*summary.accuracy, *attacked]) <= 10:
        rounds["dtick"] = 1
    accuracy = {"title": {"text": "accuracy, %"}, "rangemode": "tozero"}
    if len(attacked) < 2:
        return Chart(
            "rounds",
            "Accuracy over the rounds",
            f"The {called} of the global model, to which all clients contribute.",
            data,
            {"xaxis": rounds, "yaxis": accuracy, "showlegend": False},
            height=260,
        )
    return Chart(
        "rounds",
        "Leakage and accuracy over the rounds",
        f"Above, the median ({measure.axis}) of the reconstructions, for each group and attacker, "
        "with the best blind guess as a dashed line; higher is worse for the clients. Below, the "
        f"{called} of the global model.",
        data,
        {
            "xaxis": {**rounds, "anchor": "y2"},
            "yaxis": {"title": {"text": measure.axis}, "domain": [0.42, 1]},
            "yaxis2": {**accuracy, "domain": [0, 0.3]},
        },
        height=540,
    )


def _leakage_by_round(cards: Sequence[Card], measure: Measure) -> list[Trace]:
    data: list[Trace] = []
    groups = list(dict.fromkeys((c.group, a.attacker) for c in cards for a in c.attempts))
    names = list(dict.fromkeys(group for group, _ in groups))
    for group, attacker in groups:
        by_round: dict[int, list[float]] = {}
        for card, attempt in attempts_of(cards, group, attacker):
            if attempt.score is not None:
                by_round.setdefault(card.server_round, []).append(attempt.score)
        look = style(names.index(group))
        look["line"] |= {"dash": "solid" if attacker == NAIVE else "dot"}
        data.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": plain(f"{group}, {attacker}"),
                "x": sorted(by_round),
                "y": [statistics.median(by_round[r]) for r in sorted(by_round)],
                "hovertemplate": f"round %{{x}}: median {_at(measure, 'y')}",
                **look,
            }
        )
    return data + _blind_by_round(cards, measure)


def _accuracy(accuracy: Mapping[int, float], called: str, axis: str) -> list[Trace]:
    rounds = sorted(accuracy)
    if not rounds:
        return []
    return [
        {
            "type": "scatter",
            "mode": "lines+markers" if len(rounds) < 30 else "lines",
            "name": called,
            "x": rounds,
            "y": [100 * accuracy[r] for r in rounds],
            "yaxis": axis,
            "hovertemplate": "after round %{x}: %{y:.1f} %",
            "line": {"color": COLOURS[0]},
            "showlegend": False,
        }
    ]


def _blind_by_round(cards: Sequence[Card], measure: Measure) -> list[Trace]:
    rounds: dict[int, list[float]] = {}
    for card in cards:
        rounds.setdefault(card.server_round, []).append(card.attempts[0].blind)
    if not rounds:
        return []
    return [
        {
            "type": "scatter",
            "mode": "lines+markers",
            "name": "blind guess",
            "x": sorted(rounds),
            "y": [statistics.median(rounds[r]) for r in sorted(rounds)],
            "line": {"color": BLIND, "dash": "dash"},
            "marker": {"color": BLIND, "symbol": "line-ew-open", "size": 14},
            "hovertemplate": f"a blind guess: {_at(measure, 'y')}",
        }
    ]


def _clients(cards: Sequence[Card], measure: Measure) -> Chart | None:
    """Draw each client's highest score, with the best blind guess for the same data."""
    best: dict[str, tuple[Card, Attempt]] = {}
    for card in cards:
        for attempt in card.attempts:
            if attempt.score is not None and (
                card.who not in best or attempt.score > (best[card.who][1].score or 0)
            ):
                best[card.who] = card, attempt
    shown = sorted(best.items(), key=lambda item: -(item[1][1].score or 0))[:MOST_CLIENTS]
    if not shown:
        return None
    names = [plain(f"{name} ({card.group})") for name, (card, _) in shown]
    attempts = [attempt for _, (_, attempt) in shown]
    left_out = len(best) - len(shown)
    return Chart(
        "clients",
        "Clients with the most leakage",
        "The best reconstruction of each client and, as a line, the best blind guess for the "
        "same data." + (f" {left_out} clients with less leakage are omitted." if left_out else ""),
        [
            {
                "type": "bar",
                "orientation": "h",
                "name": "reconstruction",
                "y": names,
                "x": [a.score for a in attempts],
                "marker": {"color": COLOURS[0]},
                "text": [f"{a.attacker}, {a.meaning}" for a in attempts],
                "hovertemplate": f"{_at(measure)}, %{{text}}",
                "textposition": "none",
            },
            {
                "type": "scatter",
                "mode": "markers",
                "name": "blind guess",
                "y": names,
                "x": [a.blind for a in attempts],
                "marker": {
                    "symbol": "line-ns-open",
                    "size": 14,
                    "color": COLOURS[1],
                    "line": {"width": 3},
                },
                "hovertemplate": f"a blind guess: {_at(measure)}",
            },
        ],
        {
            "xaxis": {"title": {"text": measure.axis}},
            "yaxis": {"autorange": "reversed", "automargin": True},
            "bargap": 0.35,
        },
        height=150 + 26 * len(shown),
    )


def _at(measure: Measure, axis: str = "x") -> str:
    """Return Plotly's hover text of a point on the axis of scores."""
    return f"%{{{axis}:.1f}}{measure.unit}"
